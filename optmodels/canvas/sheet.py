"""A figure that a notebook shows. Imports matplotlib, so it is imported when something is drawn."""

from __future__ import annotations

import io

from matplotlib.figure import Figure
from PIL import Image

_COLOURS = 128


class Sheet(Figure):
    """A figure that belongs to no window, and is a picture wherever IPython displays it.

    Notebooks show figures of matplotlib only after ``%matplotlib inline`` or an import of pyplot;
    without, the picture would be its name. They keep pictures as text, so a picture for them has
    few colours, which makes it several times smaller.
    """

    def _repr_png_(self) -> bytes:
        drawn, picture = io.BytesIO(), io.BytesIO()
        self.savefig(drawn, format="png")
        with Image.open(drawn) as full:
            full.convert("RGB").quantize(_COLOURS).save(picture, format="png", optimize=True)
        return picture.getvalue()
