"""A result of rows that can be drawn: what trade-offs, advice curves and gaps have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from optmodels.atomic import write_text_atomically
from optmodels.canvas.paper import check_target, save_figure
from optmodels.csv_text import csv_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Result(ABC):
    """Rows that are drawn, saved and shown in one way.

    Attributes
    ----------
    frame
        The rows.
    """

    frame: pd.DataFrame

    @abstractmethod
    def plot(self, ax: Axes | None = None) -> Figure:
        """Draw the rows into axes, by default into those of a new figure."""

    def save(self, path: str | Path) -> Path:
        """Write the rows as .csv, or the drawing as .png, .svg or .pdf.

        Parameters
        ----------
        path
            File to write; its ending says what.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        UsageError
            The name ends otherwise, or the file cannot be written.
        """
        target = Path(path)
        check_target(target)
        if target.suffix == ".csv":
            write_text_atomically(target, csv_text(self.frame))
        else:
            save_figure(self.plot(), target)
        return target

    def __repr__(self) -> str:
        return self.frame.to_string(index=False, na_rep="-")

    def _repr_html_(self) -> str:
        return str(self.frame.to_html(index=False, na_rep="–"))
