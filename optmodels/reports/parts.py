"""Parts of which reports are put together: tables, key figures, pictures."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from optmodels.canvas.words import label
from optmodels.reports.markup import Html, escaped, joined, tag
from optmodels.words import FACTS, NOTHING, quantity

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from optmodels.plan import Plan

_HEADS = {
    "certified_ratio": "proven ≤",
    "granted": "was told",
    "p95": "95th percentile",
    "low": "interval from",
    "high": "to",
}
#: Texts of more letters are broken into lines.
_LONG = 60
#: Vector pictures that take more than that are stored as pixels [characters].
_LARGEST_VECTOR = 400_000
_DPI = 120


def head_of(name: str) -> str:
    """Head of a column of results: "execution_g" is "execution [g]"."""
    return FACTS[name][0] if name in FACTS else _HEADS.get(name) or label(name)


@dataclass(frozen=True)
class Column:
    """A column of a table: its head, and whether it holds numbers."""

    head: str
    numeric: bool = False

    @classmethod
    def named(cls, name: str, values: Sequence[Any]) -> Column:
        """Column of a frame, by its name and what it holds."""
        return cls(head_of(name), all(_is_number(value) or value is None for value in values))


def table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[object]],
    *,
    caption: str,
    names: Sequence[str] = (),
    sortable: bool = False,
    kind: str = "",
    marked: frozenset[int] = frozenset(),
) -> Html:
    """A table in a box of its own, which scrolls where the window is too narrow.

    Parameters
    ----------
    columns, rows
        Heads and cells: text, `Html`, numbers, or None for what is not known. The first cell of a
        row is its head.
    caption
        What the table shows.
    names
        Names of the columns by which numbers are written (`optmodels.words.quantity`).
    sortable
        Whether a click on a head sorts.
    kind
        Class of the style.
    marked
        Rows to set off.
    """
    called = [*names, *[""] * (len(columns) - len(names))]
    heads = [
        tag("th", column.head, scope="col", class_="number" if column.numeric else None)
        for column in columns
    ]
    body = []
    for index, row in enumerate(rows):
        first, *others = row
        cells = [tag("th", _text(first, called[0]), scope="row")]
        cells += [
            _cell(value, name, column)
            for value, name, column in zip(others, called[1:], columns[1:], strict=True)
        ]
        body.append(tag("tr", *cells, class_="optimum" if index in marked else None))
    classes = " ".join(word for word in ("sortable" if sortable else "", kind) if word)
    content = tag(
        "table",
        tag("caption", caption),
        tag("thead", tag("tr", *heads)),
        tag("tbody", *body),
        class_=classes or None,
    )
    # Whoever has no pointer scrolls the box by its focus.
    return tag("div", content, class_="scroll", role="region", tabindex=0, aria_label=caption)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _cell(value: object, name: str, column: Column) -> Html:
    missing = value is None or value != value or value == ""  # noqa: PLR0124 - NaN
    if missing:
        return tag("td", NOTHING, class_="missing number" if column.numeric else "missing")
    if _is_number(value):
        number: Any = value
        return tag("td", _text(value, name), class_="number", data_value=repr(float(number)))
    text = _text(value, name)
    return tag("td", text, class_="long" if len(text) > _LONG else None)


def _text(value: object, name: str) -> str:
    if _is_number(value):
        number: Any = value
        return quantity(float(number), name)
    return value if isinstance(value, str) else str(value)


def cards(figures: Mapping[str, tuple[str, str]]) -> Html:
    """Key figures: value and explanation by label."""
    boxes = [
        tag(
            "div",
            tag("dt", label),
            tag("dd", value, joined(" ", tag("small", words)) if words else ""),
        )
        for label, (value, words) in figures.items()
    ]
    return tag("dl", *boxes, class_="cards")


def share_bar(share: float) -> Html:
    """A bar that is filled to a share of its length."""
    width = round(100 * min(max(share, 0.0), 1.0), 2)
    return tag(
        "svg",
        tag("rect", class_="whole", width=100, height=8, rx=2),
        tag("rect", width=width, height=8, rx=2),
        class_="share",
        viewBox="0 0 100 8",
        preserveAspectRatio="none",
        aria_hidden="true",
    )


def section(title: str, *content: str, level: int = 2) -> Html:
    """A section under its heading."""
    return tag("section", tag(f"h{level}", title), *content)


def paragraph(*words: str, kind: str | None = None) -> Html:
    """A paragraph."""
    return tag("p", *words, class_=kind)


def listed(items: Sequence[str]) -> Html:
    """A list with bullets."""
    return tag("ul", *(tag("li", item) for item in items))


def picture(figure: Figure, words: str) -> Html:
    """A drawing as part of the page, the same bytes for the same drawing."""
    kind, content = _vector(figure)
    if len(content) > _LARGEST_VECTOR:
        kind, content = "png", _pixels(figure)
    address = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
    return tag("figure", tag("img", src=address, alt=words), tag("figcaption", words))


def _vector(figure: Figure) -> tuple[str, bytes]:
    import matplotlib

    stream = io.BytesIO()
    # Names inside the file are hashes, salted at random unless told otherwise.
    with matplotlib.rc_context({"svg.hashsalt": "optmodels"}):
        figure.savefig(stream, format="svg", bbox_inches="tight", metadata={"Date": None})
    return "svg+xml", stream.getvalue()


def _pixels(figure: Figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=_DPI, bbox_inches="tight", metadata={"Software": None})
    return stream.getvalue()


def provenance(plan: Plan) -> Html:
    """How a plan was made, enough to make it again."""
    made = plan.provenance
    options = ", ".join(f"{name} = {value}" for name, value in made.options.items())
    versions = ", ".join(f"{name} {version}" for name, version in made.versions.items())
    rows: list[tuple[str, str]] = [
        ("plan of", plan.maker),
        ("method", made.method),
        ("seed", NOTHING if made.seed is None else str(made.seed)),
        ("options", options or "none"),
        ("fingerprint", tag("code", plan.fingerprint)),
        ("versions", versions),
        ("seconds", tag("time", f"{made.seconds:.3g}")),
        ("made", tag("time", made.created)),
    ]
    shown = [(escaped(label), escaped(words)) for label, words in rows]
    return table([Column("what"), Column("value")], shown, caption="How the plan was made")
