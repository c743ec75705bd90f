"""A conflict: limits of a model that stand in the way of a solution, told in its own names.

The solver speaks of sides of rows and bounds of columns by number (`Limit`). What people get is a
`Conflict`: each limit by the name of its constraint, as algebra, and in the sentence that the
constraint's author wrote about it.
"""

from __future__ import annotations

import html
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp

from .labels import FloatArray, place_text
from .linear import LinearModel

Kind = Literal["irreducible", "infeasible_subset", "elastic", "feasible"]

_TERMS_SHOWN = 8


class Limit(NamedTuple):
    """One side of a row, or one bound of a variable."""

    is_row: bool
    position: int
    is_lower: bool

    @property
    def side(self) -> str:
        """Name of the array of a `LinearModel` that it stands in."""
        return f"{'row' if self.is_row else 'column'}_{'lower' if self.is_lower else 'upper'}"


@dataclass(frozen=True, eq=False, repr=False)
class Conflict:
    """What stands in the way of a solution.

    Parameters
    ----------
    kind
        ``irreducible``: these limits cannot hold together, and all are needed for that.
        ``infeasible_subset``: they cannot hold together, but time ended before it was known
        whether all are needed. ``elastic``: these rows must give way, by the amounts in column
        ``violation``. ``feasible``: there is no conflict.
    frame
        One row per limit: ``component``, ``index`` (None for a scalar), ``kind`` (``row lower``,
        ``row upper``, ``bound lower``, ``bound upper``), ``text`` (the limit as algebra),
        ``violation`` (NaN except for ``elastic``).
    docs
        Sentences of the components that have one.
    proven
        Whether an ``elastic`` answer is proven to have the least weighted sum.
    """

    kind: Kind
    frame: pd.DataFrame
    docs: Mapping[str, str]
    proven: bool = True

    def sentences(self) -> list[str]:
        """One sentence per limit, in the words of the constraint's ``doc`` where it has one."""
        result = []
        for component, index, text, violation in zip(
            *(self.frame[name] for name in ("component", "index", "text", "violation")), strict=True
        ):
            place = place_text(str(component), index)
            doc = self.docs.get(str(component), "").strip().rstrip(".")
            sentence = f"{doc} ({place}: {text})" if doc else f"{place}: {text}"
            if self.kind == "elastic":
                sentence += f"; missed by {violation:.6g}"
            result.append(sentence + ".")
        return result

    @cached_property
    def _head(self) -> str:
        count = len(self.frame)
        return {
            "irreducible": f"These {count} limits cannot hold together; without any one they can.",
            "infeasible_subset": f"These {count} limits cannot hold together; fewer may do.",
            "elastic": f"No integer solution; nearest, {count} limits must give way.",
            "feasible": "The model is feasible: there is no conflict to explain.",
        }[self.kind]

    def __repr__(self) -> str:
        return "\n".join([self._head, *(f"  - {sentence}" for sentence in self.sentences())])

    def _repr_html_(self) -> str:
        items = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in self.sentences())
        return f"<p>{html.escape(self._head)}</p><ul>{items}</ul>"


def conflict_of(
    model: LinearModel,
    kind: Kind,
    members: Sequence[Limit],
    violations: Sequence[float] | None = None,
    proven: bool = True,
) -> Conflict:
    """The conflict of some limits of a model, by name and as algebra.

    Parameters
    ----------
    model
        Model of the limits.
    kind, proven
        As for `Conflict`.
    members
        The limits.
    violations
        By how much each must give way; None where none does.
    """
    matrix = sp.csr_array(model.matrix) if members else None
    rows: list[tuple[str, Hashable, str, str, float]] = []
    docs: dict[str, str] = {}
    for number, member in enumerate(members):
        place = model.labels.row if member.is_row else model.labels.column
        families = model.labels.rows if member.is_row else model.labels.columns
        component, index = place(member.position)
        doc = families[component].doc if component in families else None
        if doc and member.is_row:
            docs[component] = doc
        rows.append(
            (
                component,
                index,
                f"{'row' if member.is_row else 'bound'} {'lower' if member.is_lower else 'upper'}",
                _algebra(model, matrix, member),
                math.nan if violations is None else float(violations[number]),
            )
        )
    frame = pd.DataFrame(
        {
            "component": pd.Series([row[0] for row in rows], dtype=object),
            "index": _objects([row[1] for row in rows]),
            "kind": pd.Series([row[2] for row in rows], dtype=object),
            "text": pd.Series([row[3] for row in rows], dtype=object),
            "violation": pd.Series([row[4] for row in rows], dtype=np.float64),
        }
    )
    return Conflict(kind, frame, docs, proven)


def _objects(items: Sequence[Hashable]) -> pd.Series:
    """A column of labels as they are: tuples stay tuples, None stays None."""
    array = np.empty(len(items), dtype=object)
    for place, item in enumerate(items):
        array[place] = item
    return pd.Series(array, dtype=object)


def _algebra(model: LinearModel, matrix: Any, member: Limit) -> str:
    """The limit as people write it."""
    lower, upper = (
        float(getattr(model, member._replace(is_lower=is_lower).side)[member.position])
        for is_lower in (True, False)
    )
    if member.is_row:
        entries = slice(matrix.indptr[member.position], matrix.indptr[member.position + 1])
        left = _terms(model, matrix.indices[entries], matrix.data[entries])
    else:
        left = place_text(*model.labels.column(member.position))
        if model.integer[member.position]:
            left += " (integer)"
    if lower == upper:
        return f"{left} = {lower:g}"
    return f"{left} >= {lower:g}" if member.is_lower else f"{left} <= {upper:g}"


def _terms(model: LinearModel, columns: np.ndarray, coefficients: FloatArray) -> str:
    text = ""
    pairs = list(zip(columns.tolist(), coefficients.tolist(), strict=True))
    for column, coefficient in pairs[:_TERMS_SHOWN]:
        sign = (
            ("- " if coefficient < 0 else "") if not text else (" - " if coefficient < 0 else " + ")
        )
        size = "" if abs(coefficient) == 1 else f"{abs(coefficient):g} "
        text += f"{sign}{size}{place_text(*model.labels.column(column))}"
    if len(pairs) > _TERMS_SHOWN:
        text += f" + ... ({len(pairs)} terms)"
    return text or "0"
