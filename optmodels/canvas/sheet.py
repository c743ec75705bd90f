"""A figure that a notebook shows. Imports matplotlib, so it is imported when something is drawn."""

from __future__ import annotations

import io

from matplotlib.figure import Figure


class Sheet(Figure):
    """A figure that belongs to no window, and is a picture wherever IPython displays it.

    Notebooks show figures of matplotlib only after ``%matplotlib inline`` or an import of pyplot;
    without, the picture would be its name.
    """

    def _repr_png_(self) -> bytes:
        picture = io.BytesIO()
        self.savefig(picture, format="png")
        return picture.getvalue()
