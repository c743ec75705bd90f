"""The study that a store holds, without computing anything."""

from __future__ import annotations

from pathlib import Path

from optmodels import registry
from optmodels.errors import Flaw, InputError, UsageError
from optmodels.studies.cell import NO_FORECAST, Cell
from optmodels.studies.results import Study, tabulated
from optmodels.studies.store import stored_lines
from optmodels.studies.work import Record, is_oracle


def stored_study(folder: str | Path) -> Study:
    """Results of all studies that a store keeps, as one study.

    Where a cell was computed more than once, as after a change of the code, the last result counts.
    The store is only read: another study may be writing to it.

    Parameters
    ----------
    folder
        The store.

    Returns
    -------
    Study
        Rows by problem and instance, the oracle first; nothing of it was computed now.

    Raises
    ------
    InputError
        The folder is no store, it is empty, or a line of its table cannot be read.
    """
    found: dict[tuple[str, ...], tuple[Cell, Record]] = {}
    for line, record in stored_lines(folder):
        cell = _cell(line)
        what = (cell.problem, cell.fingerprint, cell.policy, cell.forecast, str(cell.seed))
        found[what] = (cell, record)
    if not found:
        raise InputError(
            Flaw(
                "holds no results yet",
                file=str(folder),
                fix="run the study: `optmodels compare PATH... --store DIR`",
            )
        )
    order = registry.problems()
    cells = sorted(
        (cell for cell, _ in found.values()),
        key=lambda cell: (
            order.index(cell.problem),
            cell.instance,
            cell.fingerprint,
            not is_oracle(cell.policy),
            cell.policy,
            cell.forecast,
            cell.seed,
        ),
    )
    return tabulated(cells, {record.key: record for _, record in found.values()}, computed=0)


def _cell(line: dict[str, str]) -> Cell:
    problem, policy, forecast = line["problem"], line["policy"], line["forecast"]
    try:
        kind = registry.problem(problem).policies.get(policy)
        seed = int(line["seed"])
    except (UsageError, ValueError) as error:
        raise InputError(
            Flaw(
                f"has a line that is not that of a cell ({str(error).rstrip('.')})",
                file="cells.csv",
                cause="the file was edited, or is of another version of optmodels",
                fix="delete the line",
            )
        ) from None
    # What a policy of one's own was told is not in the store.
    needs = sorted(kind.needs) if kind is not None else []
    if kind is None and forecast != NO_FORECAST:
        needs = ["forecast"]
    granted = ", ".join(f"{need} {forecast}" if need == "forecast" else need for need in needs)
    return Cell(
        key=line["key"],
        problem=problem,
        instance=line["instance"],
        fingerprint=line["fingerprint"],
        policy=policy,
        forecast=forecast,
        seed=seed,
        drawn_seed=seed,
        granted="everything" if is_oracle(policy) else granted,
        chosen=True,
    )
