"""The catalogue of algorithms, from the classes of the policies and their docstrings.

A policy's docstring ends with a section ``Notes`` of four items: assumptions, proven ratio,
complexity, reference.
"""

from __future__ import annotations

import html
import inspect
import re

from optmodels import registry

FACTS = ("Assumptions", "Proven ratio", "Complexity", "Reference")


def facts(kind: type) -> dict[str, str]:
    """The four facts in the docstring of a policy; those that are missing are left out."""
    doc = inspect.cleandoc(kind.__doc__ or "")
    found = {}
    for name in FACTS:
        match = re.search(rf"^- {name}: (.*?)(?=^\S|\n\n|\Z)", doc, flags=re.MULTILINE | re.DOTALL)
        if match:
            found[name] = " ".join(match[1].split())
    return found


def text() -> str:
    """One section per problem: its oracle's methods, and a table of its policies."""
    parts = []
    for name in registry.problems():
        problem = registry.problem(name)
        page = name.replace(".", "-") + ".md"
        methods = ", ".join(f"`{method}`" for method in problem.methods)
        parts.append(
            f"## `{name}`\n\n{problem.title} [How it reads]({page}).\n\n"
            f"Methods of the oracle: {methods}. Savings are against `{problem.baseline}`.\n"
        )
        for label, kind in problem.policies.items():
            said = facts(kind)
            # Beside the name: what it is granted beyond the header and the past.
            granted = ", ".join(sorted(kind.needs)) or "nothing"
            drawn = " Draws random numbers." if kind.randomised else ""
            rows = {
                "class": f"`{kind.__module__}.{kind.__name__}`",
                "granted": granted,
                **{fact.lower(): said[fact] for fact in FACTS},
            }
            cells = "".join(f"<tr><th>{n}</th><td>{_inline(v)}</td></tr>" for n, v in rows.items())
            goal = f"reference/{page.replace('.md', '.html')}#{kind.__module__}.{kind.__name__}"
            shown = f"<code>{kind.__module__}.{kind.__name__}</code>"
            cells = cells.replace(shown, f'<a href="{goal}">{shown}</a>')
            parts.append(
                f"### `{label}` {{#{page.removesuffix('.md')}-{label}}}\n\n"
                f"{_sentence(kind.summary)}{drawn}\n\n"
                f'<table class="facts"><tbody>{cells}</tbody></table>\n'
            )
    return "\n".join(parts)


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:] + "."


def _inline(words: str) -> str:
    """A fact as HTML: code between back ticks, links to arXiv."""
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(words, quote=False))
    return re.sub(
        r"arXiv[: ](\d{4}\.\d{5})", r'<a href="https://arxiv.org/abs/\1">arXiv:\1</a>', text
    )
