"""The layout of a matrix: where the members of each variable or constraint stand in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ..labels import Family
from . import tracing
from .spaces import Space


class Layout:
    """Components one after the other, each with all its members in order.

    Parameters
    ----------
    spaces
        Index set of each component by name, in the order of the components.

    Attributes
    ----------
    first
        Place of the first member of each component.
    size
        Number of places.
    """

    def __init__(self, spaces: Mapping[str, Space]) -> None:
        self.spaces = spaces
        self.first: dict[str, int] = {}
        self.size = 0
        for name, space in spaces.items():
            self.first[name] = self.size
            self.size += space.size

    def span(self, name: str) -> slice:
        """Places of a component."""
        first = self.first[name]
        return slice(first, first + self.spaces[name].size)

    def families(self, model: Any) -> Iterator[Family]:
        """The components of a model with the labels of their members."""
        for name, space in self.spaces.items():
            component = model.component(name)
            span = self.span(name)
            positions = np.arange(span.start, span.stop)
            yield Family(name, positions, _indexer(space, component), doc=component.doc)


def _indexer(space: Space, component: Any) -> Callable[[], pd.Index]:
    def make() -> pd.Index:
        if not component.is_indexed():
            return space.index()
        names = [part.local_name for part in tracing.parts(component.index_set())]
        fitting = len(set(names)) == len(names) == len(space.axes)
        return space.index(names if fitting else None)

    return make
