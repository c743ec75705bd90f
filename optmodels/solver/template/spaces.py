"""Index sets as arrays: where a label stands, and where a tuple of labels stands.

An `Axis` is an ordered set of labels with a fast way from labels to positions: arithmetic for
consecutive integers, binary search for other numbers, a table for anything else. A `Space` is the
index set of a component: the product of axes, or a sparse list of tuples over them. `Lists` are the
members of a set that is indexed itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..labels import scalar_index

IndexArray = NDArray[np.integer[Any]]


#: A sparse set is looked up in a table over the whole product up to this many places per member,
_TABLE_SPARE = 16
#: or up to this many places in all; beyond, by binary search.
_TABLE_PLACES = 1_000_000


class UnknownLabelError(LookupError):
    """A label, or a tuple of labels, is not in the set where it is looked up."""

    def __init__(self, label: Any, component: str | None = None) -> None:
        parts = label if isinstance(label, tuple) else (label,)
        plain = tuple(part.item() if isinstance(part, np.generic) else part for part in parts)
        self.label = plain if isinstance(label, tuple) else plain[0]
        self.component = component
        super().__init__(f"{component or 'a set'} has no index {self.label!r}")


class Axis:
    """An ordered one-dimensional set of labels.

    Parameters
    ----------
    labels
        The labels, each once: integers, strings, timestamps, anything hashable.
    """

    def __init__(self, labels: Any) -> None:
        self.labels = self.as_labels(labels)
        self._maps: dict[int, tuple[Axis, IndexArray]] = {}

    def __len__(self) -> int:
        return len(self.labels)

    @staticmethod
    def as_labels(labels: Any) -> NDArray[Any]:
        """Labels as an array: 64-bit integers, or the Python objects they are.

        Raises
        ------
        ValueError
            A label is NaN or None, or the labels are not in a row.
        TypeError
            A label cannot be looked up.
        """
        array = labels if isinstance(labels, np.ndarray) else None
        if isinstance(labels, range):
            array = np.arange(labels.start, labels.stop, labels.step)
        elif isinstance(labels, pd.Series | pd.Index):
            array = labels.to_numpy()
            labels = labels.tolist()  # timestamps with their time zone
        elif array is None and all(type(label) is int for label in labels):
            array = np.array(labels, dtype=np.int64)
        if array is not None and array.dtype.kind in "iu":
            if array.ndim != 1:
                raise ValueError("they are not in a row")
            return array.astype(np.int64, copy=False)
        # Strings, timestamps and mixtures are kept as the objects they are: numpy would turn
        # ["a", 1] into two strings.
        if isinstance(labels, np.ndarray):
            labels = pd.Index(labels).tolist() if labels.dtype.kind == "M" else labels.tolist()
        values = list(labels)
        kept = np.empty(len(values), dtype=object)
        kept[:] = [value.item() if isinstance(value, np.generic) else value for value in values]
        if any(_missing(value) for value in kept):
            raise ValueError("NaN or None is no label")
        hash(tuple(kept))
        return kept

    @cached_property
    def repeated(self) -> Any:
        """A label that is there twice; None if there is none."""
        if self.first is not None or not len(self):
            return None
        if self.labels.dtype.kind == "i":
            ordered, _ = self._sorted
            twice = np.flatnonzero(ordered[1:] == ordered[:-1])
            return int(ordered[twice[0]]) if twice.size else None
        if len(self._table) == len(self):
            return None
        # The table keeps the last place of a label.
        places = enumerate(self.labels.tolist())
        return next(label for place, label in places if self._table[label] != place)

    @cached_property
    def first(self) -> int | None:
        """First label of a set of consecutive integers, else None."""
        labels = self.labels
        if labels.dtype.kind not in "iu" or not labels.size:
            return None
        consecutive = labels.size == 1 or bool((np.diff(labels) == 1).all())
        return int(labels[0]) if consecutive else None

    @cached_property
    def _sorted(self) -> tuple[NDArray[Any], IndexArray]:
        order = np.argsort(self.labels, kind="stable")
        return self.labels[order], order

    @cached_property
    def _table(self) -> dict[Any, int]:
        return {label: place for place, label in enumerate(self.labels.tolist())}

    def find(self, labels: NDArray[Any]) -> IndexArray:
        """Positions of labels; -1 where there is none. Any shape."""
        labels = np.asarray(labels)
        size = len(self)
        if not size:
            return np.full(labels.shape, -1)
        if self.labels.dtype.kind in "iu" and labels.dtype.kind in "iuf":
            if labels.dtype.kind == "f":
                whole = labels.astype(np.int64)
                return np.where(whole == labels, self.find(whole), -1)
            if self.first is not None:
                places: IndexArray = labels - self.first
                outside = (places < 0) | (places >= size)
                return np.where(outside, -1, places) if outside.any() else places
            ordered, order = self._sorted
            near = np.minimum(np.searchsorted(ordered, labels), size - 1)
            return np.where(ordered[near] == labels, order[near], -1)
        flat = [self._table.get(label, -1) for label in labels.reshape(-1).tolist()]
        return np.array(flat, dtype=np.int64).reshape(labels.shape)

    def positions(self, labels: NDArray[Any]) -> IndexArray:
        """Positions of labels.

        Raises
        ------
        UnknownLabelError
            A label is not in the set.
        """
        places = self.find(labels)
        if (places < 0).any():
            raise UnknownLabelError(np.asarray(labels)[places < 0].reshape(-1)[0])
        return places

    def places_of(self, other: Axis) -> IndexArray:
        """Position here of every label of another axis, -1 where it is missing; cached."""
        if other is self:
            return np.arange(len(self))
        known = self._maps.get(id(other))
        if known is None or known[0] is not other:
            known = self._maps[id(other)] = (other, self.find(other.labels))
        return known[1]


class Space:
    """Index set of a component.

    Parameters
    ----------
    axes
        Axis of each dimension; none for a scalar.
    members
        For a sparse set, the positions of its members along each axis; None for the whole
        product.
    """

    def __init__(self, axes: Sequence[Axis], members: Sequence[IndexArray] | None = None) -> None:
        self.axes = tuple(axes)
        self.members = None if members is None else tuple(members)
        self.shape = tuple(len(axis) for axis in self.axes)
        self.size = int(np.prod(self.shape, dtype=np.int64)) if members is None else len(members[0])

    @property
    def grid_shape(self) -> tuple[int, ...]:
        """Shape of an array over the members: one dimension per axis, or one for a sparse set."""
        return self.shape if self.members is None else (self.size,)

    def grid(self) -> list[IndexArray]:
        """Positions along each axis, broadcastable to `grid_shape`."""
        if self.members is not None:
            return list(self.members)
        sizes = [np.arange(n, dtype=np.int32) for n in self.shape]
        return list(np.ix_(*sizes)) if sizes else []

    @cached_property
    def _table(self) -> NDArray[np.int32] | None:
        """Member at each place of the product, -1 for none; None where it would be too large."""
        assert self.members is not None
        places = float(np.prod(np.array(self.shape, dtype=float)))
        if places > max(_TABLE_SPARE * self.size, _TABLE_PLACES):
            return None
        table = np.full(int(places), -1, dtype=np.int32)
        table[self._key(self.members)] = np.arange(self.size, dtype=np.int32)
        return table

    @cached_property
    def _keys(self) -> tuple[IndexArray, IndexArray | None]:
        """Sorted keys of a sparse set, and the order that sorts them (None if they are)."""
        assert self.members is not None
        keys = self._key(self.members)
        if keys.size < 2 or bool((keys[1:] > keys[:-1]).all()):
            return keys, None
        order = np.argsort(keys, kind="stable")
        return keys[order], order

    @cached_property
    def _rows(self) -> NDArray[np.int32]:
        """Where the sorted members of each position along the first axis begin, and the end."""
        rest = int(np.prod(self.shape[1:], dtype=np.int64))
        return np.searchsorted(self._keys[0], np.arange(self.shape[0] + 1) * rest).astype(np.int32)

    def _near(self, key: IndexArray, first: IndexArray) -> IndexArray:
        """Place of each key among the sorted ones, if it is there at all.

        The position along the first axis leaves few members to halve, all keys at once: half the
        time of a search among all members, whose steps jump through the memory.
        """
        ordered, begin = self._keys[0], self._rows
        low = np.broadcast_to(begin[first], key.shape).copy()
        last = np.broadcast_to(begin[first + 1] - 1, key.shape)
        step = 1 << int(np.diff(begin).max()).bit_length() >> 1
        while step:
            further = np.minimum(low + step, last)
            np.copyto(low, further, where=ordered[further] <= key)
            step >>= 1
        return np.clip(low, 0, self.size - 1)

    def _key(self, places: Sequence[IndexArray]) -> IndexArray:
        """Number of a tuple of positions in the product of the axes."""
        key: IndexArray = np.zeros((), dtype=np.int64 if self._large else np.int32)
        for place, size in zip(places, self.shape, strict=True):
            key = key * size + place
        return key

    @cached_property
    def _large(self) -> bool:
        return float(np.prod(np.array(self.shape, dtype=float))) >= 2**31

    def flat(self, places: Sequence[IndexArray]) -> IndexArray:
        """Position among the members of tuples given by positions along the axes.

        Raises
        ------
        UnknownLabelError
            A tuple is not in the sparse set.
        """
        key = self._key(places)
        if self.members is None:
            return key
        if self._table is not None:
            found: IndexArray = self._table[key]
            missing = found < 0
        elif not self.size:
            missing = np.ones(np.shape(key), dtype=np.bool_)
            found = np.zeros(np.shape(key), dtype=np.int32)
        else:
            ordered, order = self._keys
            if key.size == self.size and np.array_equal(key.reshape(-1), ordered):
                # All members in their order, as in a rule over the set: nothing to look for.
                all_of_it = np.arange(self.size, dtype=np.int32) if order is None else order
                return all_of_it.reshape(key.shape)
            near = self._near(key, places[0])
            missing = ordered[near] != key
            found = near if order is None else order[near]
        if missing.any():
            first = np.unravel_index(int(np.argmax(missing)), missing.shape)
            raise UnknownLabelError(
                tuple(
                    axis.labels[np.broadcast_to(place, missing.shape)[first]]
                    for axis, place in zip(self.axes, places, strict=True)
                )
            )
        return found

    def first_twice(self) -> int | None:
        """Place of a member of a sparse set that was there before; None if there is none."""
        if self.size < 2:
            return None
        ordered, order = self._keys
        twice = np.flatnonzero(ordered[1:] == ordered[:-1])
        if not twice.size:
            return None
        return int(twice[0]) + 1 if order is None else int(order[twice[0] + 1])

    def label(self, member: int) -> Any:
        """Label of a member: None for a scalar, a tuple where there are several axes."""
        if not self.axes:
            return None
        if self.members is None:
            places: Sequence[Any] = np.unravel_index(member, self.shape)
        else:
            places = [place[member] for place in self.members]
        found = [axis.labels[place] for axis, place in zip(self.axes, places, strict=True)]
        plain = [label.item() if isinstance(label, np.generic) else label for label in found]
        return plain[0] if len(plain) == 1 else tuple(plain)

    def index(self, names: list[str] | None = None) -> pd.Index:
        """Labels of the members as a pandas index."""
        if not self.axes:
            return scalar_index()
        # Lists, not arrays of objects: pandas sees timestamps and strings for what they are.
        labels = [axis.labels.tolist() for axis in self.axes]
        if len(labels) == 1 and self.members is None:
            flat: pd.Index = pd.Index(labels[0], name=names[0] if names else None)
            return flat
        make: Any = pd.MultiIndex.from_product
        if self.members is not None:
            columns = zip(self.axes, self.members, strict=True)
            labels = [axis.labels[place].tolist() for axis, place in columns]
            make = pd.MultiIndex.from_arrays
        several: pd.Index = make(labels, names=names)
        return several


class Lists(NamedTuple):
    """Members of an indexed set: one list for each member of its index.

    Attributes
    ----------
    space
        Of the index.
    starts
        Where each list starts among the members, and the end.
    axes, places
        Positions of the members, list after list, along axes.
    """

    space: Space
    starts: IndexArray
    axes: list[Axis]
    places: list[IndexArray]


def _missing(value: Any) -> bool:
    return value is None or value is pd.NaT or (isinstance(value, float) and math.isnan(value))


SCALAR = Space(())


def axis_over(labels: NDArray[Any]) -> Axis:
    """Axis that holds every one of these labels, which may repeat.

    Integers that lie close together get all integers between them: no search is needed then.
    """
    if labels.dtype.kind in "iu" and labels.size:
        low, high = int(labels.min()), int(labels.max())
        if high - low < max(_TABLE_SPARE * labels.size, _TABLE_PLACES):
            return Axis(np.arange(low, high + 1))
    if labels.dtype.kind in "iu":
        return Axis(np.unique(labels))
    return Axis(list(dict.fromkeys(labels.tolist())))
