"""The page around a report: one file that needs nothing else.

Style and script are written into the page, pictures are part of their own addresses, and a content
security policy forbids the browser everything else: a report opens the same without a network, in
ten years, and from an e-mail.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import metadata, resources

from optmodels.reports.markup import Html, joined, tag

_POLICY = (
    "default-src 'none'; img-src data:; style-src {style}; script-src {script}; base-uri 'none'"
)


def page(title: str, *sections: str, subtitle: str = "", kicker: str = "") -> str:
    """A whole document.

    Parameters
    ----------
    title
        Heading, and title of the window.
    sections
        What stands below it.
    subtitle
        Line below the heading.
    kicker
        Line above it.
    """
    style, script = _asset("report.css"), _asset("report.js")
    policy = _POLICY.format(style=_digest(style), script=_digest(script))
    head = joined(
        tag("meta", charset="utf-8"),
        # `tag` turns underscores into hyphens, as in http-equiv.
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="generator", content=f"optmodels {metadata.version('optmodels')}"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("link", rel="icon", href="data:,"),
        tag("title", f"{title} · {subtitle or 'optmodels'}"),
        tag("style", Html(style)),
    )
    top = tag(
        "header",
        tag("p", kicker, class_="kicker") if kicker else "",
        tag("h1", title),
        tag("p", subtitle, class_="subtitle") if subtitle else "",
    )
    foot = tag("footer", tag("p", f"Made by optmodels {metadata.version('optmodels')}."))
    body = tag("body", top, tag("main", *sections), foot, tag("script", Html(script)))
    return f"<!DOCTYPE html>\n{tag('html', tag('head', head), body, lang='en')}\n"


@cache
def _asset(name: str) -> str:
    return resources.files("optmodels.reports").joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """What a content security policy calls the one inline text that it allows."""
    found = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{found}'"
