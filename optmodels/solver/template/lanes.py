"""Lanes: what the free index templates of a traced expression stand for, all at once.

A `Lanes` object is a grid of index combinations, with one array of positions per template,
broadcastable to the shape of the grid. A constraint over S × T opens a grid of that shape; a sum
over a set inside it opens a child grid with one more dimension, so that ``x[s, t]`` is one
broadcast addition and nothing is repeated in memory. Only a sum over an indexed set, whose size
differs from lane to lane, needs its lanes written out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .spaces import Axis, IndexArray, Lists, Space
from .tracing import NotTraceableError, template_key


class Lanes:
    """A grid of index combinations.

    Parameters
    ----------
    shape
        Shape of the grid.
    positions
        Per template, its axis and its positions, broadcastable to the shape.
    parent
        The lanes outside, whose templates are visible too.
    rows
        For lanes that were written out: the lane of the parent (flattened) that each belongs to,
        sorted. None for a grid that continues its parent's by further dimensions.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        positions: dict[int, tuple[Axis, IndexArray]],
        parent: Lanes | None = None,
        rows: IndexArray | None = None,
    ) -> None:
        self.shape = shape
        self.parent = parent
        self.rows = rows
        self._positions = positions
        #: Templates that these lanes were opened for; others are found further out.
        self.own_templates = frozenset(positions)

    @classmethod
    def over(cls, space: Space, templates: tuple[Any, ...]) -> Lanes:
        """Lanes over the members of a component's index set."""
        return cls(space.grid_shape, bound(templates, space.axes, space.grid()))

    @property
    def size(self) -> int:
        """Number of lanes."""
        return math.prod(self.shape)

    def opened(self, space: Space, templates: tuple[Any, ...]) -> Lanes:
        """Lanes inside these, over the members of a set."""
        outer = (1,) * len(self.shape)
        places = [place.reshape(outer + place.shape) for place in space.grid()]
        return Lanes(self.shape + space.grid_shape, bound(templates, space.axes, places), self)

    def written_out(self, lists: Lists, which: IndexArray, templates: tuple[Any, ...]) -> Lanes:
        """Lanes inside these, over one list of members in each lane: `which` says the list."""
        starts = lists.starts
        outer = np.broadcast_to(which, self.shape).reshape(-1)
        counts = (starts[1:] - starts[:-1])[outer]
        rows = np.repeat(np.arange(self.size), counts)
        ends = np.cumsum(counts)
        chosen = np.arange(rows.size) + np.repeat(starts[:-1][outer] - ends + counts, counts)
        positions = bound(templates, lists.axes, [place[chosen] for place in lists.places])
        return Lanes((rows.size,), positions, self, rows)

    def position(self, key: int) -> tuple[Axis, IndexArray]:
        """Axis and positions of a template, as wide as these lanes."""
        found = self._positions.get(key)
        if found is None:
            assert self.parent is not None
            axis, outer = self.parent.position(key)
            found = self._positions[key] = (axis, self.inward(outer))
        return found

    def standing_for(self, key: int) -> int | None:
        """Template that a template of a named Expression stands for; None for a computed index."""
        if key in self.own_templates or self.parent is None:
            return key
        return self.parent.standing_for(key)

    def inward(self, values: Any) -> Any:
        """Array over the parent's lanes, seen from these."""
        if np.ndim(values) == 0:
            return values
        assert self.parent is not None
        if self.rows is None:
            return values.reshape(values.shape + (1,) * (len(self.shape) - values.ndim))
        return np.broadcast_to(values, self.parent.shape).reshape(-1)[self.rows]

    def gathered(self, values: Any) -> Any:
        """Sum of an array over these lanes for each lane of the parent."""
        assert self.parent is not None
        if np.ndim(values) == 0 and not values:
            return 0.0
        whole = np.broadcast_to(values, self.shape)
        if self.rows is None:
            inner = tuple(range(len(self.parent.shape), len(self.shape)))
            return whole.sum(axis=inner)
        sums = np.bincount(self.rows, weights=whole, minlength=self.parent.size)
        return sums.reshape(self.parent.shape)


class Renamed(Lanes):
    """The same lanes, with further names for positions: the inside of a named Expression."""

    def __init__(
        self,
        lanes: Lanes,
        positions: dict[int, tuple[Axis, IndexArray]],
        stands: dict[int, int | None],
    ) -> None:
        super().__init__(lanes.shape, positions, lanes.parent, lanes.rows)
        self.same = lanes
        self.own_templates = lanes.own_templates
        self._stands = stands

    def position(self, key: int) -> tuple[Axis, IndexArray]:
        """Axis and positions of a template, by either name."""
        found = self._positions.get(key)
        return self.same.position(key) if found is None else found

    def standing_for(self, key: int) -> int | None:
        """Template that a template stands for in the lanes with the first names."""
        return self._stands[key] if key in self._stands else self.same.standing_for(key)


def path(inner: Lanes, outer: Lanes) -> list[Lanes]:
    """Lanes from the inner ones out to, not including, the outer ones."""
    found = []
    while not same_lanes(inner, outer):
        found.append(inner)
        assert inner.parent is not None
        inner = inner.parent
    return found


def _root(lanes: Lanes) -> Lanes:
    while isinstance(lanes, Renamed):
        lanes = lanes.same
    return lanes


def same_lanes(one: Lanes, other: Lanes) -> bool:
    """Whether two lanes are the same, whatever names their positions have."""
    return _root(one) is _root(other)


def bound(
    templates: tuple[Any, ...], axes: Sequence[Axis], places: Sequence[IndexArray]
) -> dict[int, tuple[Axis, IndexArray]]:
    """Positions by template; none for a rule that takes no indices."""
    if templates and len(templates) != len(axes):
        raise NotTraceableError(
            f"a set has {len(axes)} dimensions, but is used with {len(templates)} indices; "
            "declare it with dimen=..."
        )
    return {
        template_key(template): (axis, place)
        for template, axis, place in zip(templates, axes, places, strict=False)
    }
