"""The file of a plan, read with suspicion: claims and decisions, not yet audited.

What a file says about its own cost is a claim. Only the decisions are taken from it, and
`optmodels.check` audits them against the instance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic import Field as PydanticField

from optmodels.cells import FAULTS, read_times
from optmodels.errors import Flaw, InputError
from optmodels.json_file import read_json
from optmodels.plan import PLAN_VERSION, Provenance
from optmodels.schema import Place

MAX_PLAN_BYTES = 2**28
#: No decision is larger; sums and products of what is allowed stay far from overflow.
LARGEST_DECISION = 1e18
_SHOWN_FLAWS = 20
_SHOWN_NAME = 60


@dataclass(frozen=True)
class StoredPlan:
    """A plan as read from a file.

    Attributes
    ----------
    fingerprint
        Fingerprint of the instance that the plan says it answers.
    claims
        What the file says of the plan: problem, maker, status, objective, bound, method, seconds.
    tables
        The decisions.
    provenance
        How the plan was made, as the file says.
    """

    fingerprint: str
    claims: Mapping[str, Any]
    tables: Mapping[str, pd.DataFrame]
    provenance: Provenance


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class _TableFile(_Strict):
    """One table as JSON: its columns, and which of them are times."""

    times: list[str]
    columns: dict[str, list[float | int | str | bool | None]]


class _ProvenanceFile(_Strict):
    method: str
    seconds: float = PydanticField(ge=0)
    options: dict[str, Any] = {}
    seed: int | None = None
    versions: dict[str, str] = {}
    created: str = ""


class _PlanFile(_Strict):
    """A plan as JSON; what is derived from these is not read."""

    optmodels_plan: int = PydanticField(ge=1)
    problem: str
    fingerprint: str
    maker: str
    status: str
    objective: float
    bound: float | None
    provenance: _ProvenanceFile
    tables: dict[str, _TableFile]


def read_plan(path: str | Path) -> StoredPlan:
    """Read the file of a plan.

    Raises
    ------
    InputError
        The file is not a readable plan, or of a newer version; lists the flaws of its form.
    """
    path = Path(path)
    fix = "save a plan with plan.save or `optmodels solve --out`"
    content = read_json(path, max_bytes=MAX_PLAN_BYTES, kind="a plan file", fix=fix)
    version = content.get("optmodels_plan") if isinstance(content, dict) else None
    if isinstance(version, int) and version > PLAN_VERSION:
        what, allowed = "is newer than this release reads", f"1 to {PLAN_VERSION}"
        raise InputError(
            Flaw(what, path.name, field="optmodels_plan", value=version, allowed=allowed)
        )
    try:
        read = _PlanFile.model_validate(content)
    except ValidationError as error:
        raise InputError(
            [
                Flaw(
                    f"has a wrong form: {item['msg']}",
                    file=path.name,
                    field=".".join(str(part)[:_SHOWN_NAME] for part in item["loc"][:5]) or None,
                    fix=fix,
                )
                for item in error.errors(include_url=False)[:_SHOWN_FLAWS]
            ],
            f"Plan file {path.name}",
        ) from None
    tables: dict[str, pd.DataFrame] = {}
    flaws: list[Flaw] = []
    for name, table in read.tables.items():
        frame, found = _frame(table, path.name, f"tables.{name}")
        tables[name] = frame
        flaws += found
    if flaws:
        raise InputError(flaws, f"Plan file {path.name}")
    provenance = Provenance(**read.provenance.model_dump())
    claims = read.model_dump(include={"problem", "maker", "status", "objective", "bound"})
    claims |= {"method": provenance.method, "seconds": provenance.seconds}
    return StoredPlan(read.fingerprint, claims, tables, provenance)


def _frame(content: _TableFile, file: str, place: str) -> tuple[pd.DataFrame, list[Flaw]]:
    if len({len(values) for values in content.columns.values()}) > 1:
        return pd.DataFrame(), [Flaw("has columns of different lengths", file, field=place)]
    data: dict[str, Any] = {}
    flaws = [
        Flaw("names a time column that it lacks", file, field=f"{place}.{name}")
        for name in content.times
        if name not in content.columns
    ]
    at = Place(f"{file}, {place}")
    for name, values in content.columns.items():
        if name in content.times:
            data[name], faults = read_times(values, typed=True)
            flaws += [
                Flaw(FAULTS[kind][0], at.file, i + 1, field=name, value=values[i])
                for i, kind in list(faults.items())[:_SHOWN_FLAWS]
            ]
        else:
            flaws += [
                Flaw(
                    "is out of range",
                    at.file,
                    i + 1,
                    field=name[:_SHOWN_NAME],
                    value=value,
                    allowed=f"-{LARGEST_DECISION:g} to {LARGEST_DECISION:g}",
                )
                for i, value in enumerate(values)
                if isinstance(value, int | float) and not abs(value) <= LARGEST_DECISION
            ][:_SHOWN_FLAWS]
            data[name] = pd.Series(values, dtype=_dtype(values))
    return pd.DataFrame(data), flaws


def _dtype(values: Sequence[object]) -> str:
    """Type of a column as it was saved; a gap (null) was NaN, which only fractions can be."""
    kinds = {type(value) for value in values}
    if kinds <= {float, type(None)}:
        return "float64"
    if kinds == {int} and all(-(2**63) <= int(str(value)) < 2**63 for value in values):
        return "int64"
    return "bool" if kinds == {bool} else "object"
