"""What every chart is held to: its texts are inside the figure and cover no other text."""

from __future__ import annotations

import itertools
import re
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

# A pixel of a letter's box is air.
SLACK = 1.0
# What is counted needs no unit.
COUNTED = ("servers", "jobs", "GPUs", "time (UTC)")


def texts_of(figure: Figure) -> list[Text]:
    """All texts that are drawn: numbers of axes in view, labels, titles, legends, notes."""
    found: list[Any] = []
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                if low <= tick.get_loc() <= high:
                    found += [tick.label1, tick.label2]
            found += [axis.label, axis.get_offset_text()]
        found += [ax.title, *ax.texts]
        if ax.get_legend() is not None:
            found += ax.get_legend().get_texts()
    return [text for text in found if text.get_visible() and text.get_text().strip()]


def check_texts(figure: Figure) -> None:
    """Draw a figure and assert that its texts are inside and apart from each other."""
    FigureCanvasAgg(figure).draw()
    width, height = figure.bbox.width, figure.bbox.height
    boxes = []
    for text in texts_of(figure):
        box = Text.get_window_extent(text)
        words = text.get_text()
        assert box.x0 >= -SLACK and box.y0 >= -SLACK, f"{words!r} is cut"
        assert box.x1 <= width + SLACK and box.y1 <= height + SLACK, f"{words!r} is cut"
        boxes.append((words, box))
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        across = min(a.x1, b.x1) - max(a.x0, b.x0)
        up = min(a.y1, b.y1) - max(a.y0, b.y0)
        assert across <= SLACK or up <= SLACK, f"{one!r} covers {other!r}"


def check_units(figure: Figure) -> None:
    """Every axis with numbers says in which unit they are."""
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            label = axis.label.get_text()
            numbers = [t.label1.get_text() for t in axis.get_major_ticks()]
            if label in COUNTED or re.search(r"\[.+\]", label):
                continue
            named = [text for text in numbers if text and not _is_number(text)]
            assert not label and (named or not any(numbers)), f"no unit: {label!r} {numbers}"


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[−\-\d.,]+", text) is not None
