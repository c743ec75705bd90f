"""HTML that cannot be broken by what is put into it.

Text from files (names of instances, origins, messages) may hold anything. So there are two kinds of
text here: `Html`, which only `tag` and its like make, and everything else, which is escaped on its
way in. Characters that a page cannot show, or that would turn its reading direction, become the
replacement sign.
"""

from __future__ import annotations

import html

_UNSHOWN = "�"
#: Elements without an end tag.
_VOID = frozenset({"br", "img", "link", "meta", "rect"})


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def escaped(text: str) -> Html:
    """Text as HTML; what is HTML already stays as it is."""
    if isinstance(text, Html):
        return text
    shown = "".join(c if c.isprintable() or c in "\n\t" else _UNSHOWN for c in text)
    return Html(html.escape(shown))


def joined(*parts: str) -> Html:
    """Parts one after the other."""
    return Html("".join(escaped(part) for part in parts))


def tag(name: str, /, *children: str, **attributes: str | int | float | bool | None) -> Html:
    """An element.

    Parameters
    ----------
    name
        Of the element.
    children
        What it holds; text that is not `Html` is escaped.
    attributes
        By name, with a hyphen for each underscore inside and none at the end (``class_``). None and
        False leave an attribute out, True gives it without a value.
    """
    words = [name]
    for label, value in attributes.items():
        if value is None or value is False:
            continue
        key = label.rstrip("_").replace("_", "-")
        words.append(key if value is True else f'{key}="{escaped(str(value))}"')
    start = f"<{' '.join(words)}>"
    if name in _VOID:
        return Html(start if name != "rect" else f"<{' '.join(words)}/>")
    return Html(f"{start}{joined(*children)}</{name}>")
