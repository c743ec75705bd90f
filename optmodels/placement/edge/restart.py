"""Restart: the basis of one small programme carried over to the next, which has more columns.

What was in the basis stays there, new columns start at zero, and the rows of shelves that are new
start basic. The point of the old programme is then a basic solution of the new one, from which the
simplex method goes on: the primal one where little has joined, the dual one where much has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from optmodels.placement.edge.instance import IntArray

if TYPE_CHECKING:
    from optmodels.solver import Session

#: Share of new columns up to which the primal simplex method goes on, and its number in HiGHS.
FEW = 0.02
_PRIMAL = 4


@dataclass(frozen=True)
class Names:
    """What the columns and rows of a programme stand for, as sorted codes by component.

    Attributes
    ----------
    columns, rows
        For each component, the code of each member, rising, and its place in the matrix.
    """

    columns: dict[str, tuple[IntArray, IntArray]]
    rows: dict[str, tuple[IntArray, IntArray]]


@dataclass(frozen=True)
class Basis:
    """A basis and the names of its columns and rows."""

    names: Names
    columns: NDArray[np.object_]
    rows: NDArray[np.object_]


def basis_of(session: Session, names: Names) -> Basis | None:
    """Basis of the last solve; None where there is none."""
    found = session.basis()
    return None if found is None else Basis(names, *found)


def restart(session: Session, names: Names, basis: Basis) -> None:
    """Start a session from the basis of a programme with fewer columns."""
    import highspy

    kinds = highspy.HighsBasisStatus
    columns, known = _carried(basis.names.columns, basis.columns, names.columns, kinds.kLower)
    rows, _ = _carried(basis.names.rows, basis.rows, names.rows, kinds.kBasic)
    # Rows that are gone take their places along.
    session.start_from_basis(columns, rows)
    if len(columns) - known <= FEW * len(columns):
        session.set_options({"simplex_strategy": _PRIMAL})


def _carried(
    old: dict[str, tuple[IntArray, IntArray]],
    status: NDArray[np.object_],
    new: dict[str, tuple[IntArray, IntArray]],
    otherwise: Any,
) -> tuple[NDArray[np.object_], int]:
    """Statuses by new place, and how many were known."""
    total = sum(len(codes) for codes, _ in new.values())
    carried = np.full(total, otherwise, dtype=object)
    known = 0
    for name, (codes, places) in new.items():
        before, where = old[name]
        if not len(before):
            continue
        at = np.minimum(np.searchsorted(before, codes), len(before) - 1)
        same = before[at] == codes
        carried[places[same]] = status[where[at[same]]]
        known += int(np.count_nonzero(same))
    return carried, known
