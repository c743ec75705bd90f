"""A study: instances × policies × forecasts × seeds, on any executor, never computed twice.

>>> import optmodels as om
>>> weeks = [om.generate("scaling.job", seed=seed) for seed in range(3)]
>>> found = om.study(weeks, ["run-now", "lacs"])
>>> len(found.frame), found.failures.empty
(9, True)

The table is the same whatever computes it: in this process, in several, on a cluster, at one go or
after ten kills.
"""

from __future__ import annotations

import html
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from optmodels import api, registry
from optmodels.errors import UsageError
from optmodels.instance import Instance
from optmodels.policy import Policy
from optmodels.studies import confidence
from optmodels.studies.cell import Cell, grid
from optmodels.studies.engine import run_cells
from optmodels.studies.store import Store
from optmodels.studies.work import DONE, FAILED, SKIPPED, Known, Record, is_oracle

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True, repr=False)
class Study:
    """Results of a study.

    Attributes
    ----------
    frame
        One row per cell, by instance, the oracle first: ``problem``, ``instance``, ``fingerprint``,
        ``policy``, ``forecast``, ``seed``, ``granted`` (what it was told beyond header and past),
        ``status``, ``total``, ``unit``, ``ratio`` (over the optimum, or over its proven bound where
        it is not proven), ``certified_ratio``, ``saving`` against the problem's baseline on the
        same instance, the cost columns and facts of the problem, and ``error``.
    seconds
        Wall time of each row's cell when it was computed [s].
    computed
        Cells that were computed now; the others were in the store.
    rows
        The rows of the table with the columns of their own problem only.
    """

    frame: pd.DataFrame
    seconds: pd.Series[float]
    computed: int
    rows: Sequence[Mapping[str, Any]]

    @property
    def failures(self) -> pd.DataFrame:
        """Rows of the cells that failed."""
        return self.frame[self.frame["status"] == FAILED].reset_index(drop=True)

    @property
    def problems(self) -> list[str]:
        """Problems of the instances."""
        return list(dict.fromkeys(self.frame["problem"]))

    def of(self, problem: str | None = None) -> pd.DataFrame:
        """Rows of one problem, without the columns of others.

        Parameters
        ----------
        problem
            Name of the problem; may be left out where the study has one only.

        Returns
        -------
        pandas.DataFrame
            One row per cell of that problem.

        Raises
        ------
        UsageError
            The study has several problems and none is named, or it does not have this one.
        """
        if problem is None:
            if len(self.problems) > 1:
                listed = ", ".join(self.problems)
                raise UsageError(f"The study has several problems: {listed}. Fix: name one.")
            problem = self.problems[0]
        if problem not in self.problems:
            raise UsageError.unknown("problem", problem, self.problems)
        rows = self.frame[self.frame["problem"] == problem].reset_index(drop=True)
        fixed = {"certified_ratio", "saving", "error"}
        return rows[[name for name in rows if name in fixed or not rows[name].isna().all()]]

    def summary(self, problem: str | None = None, value: str = "ratio") -> pd.DataFrame:
        """Mean of a column per policy with its bootstrap interval over instances.

        Parameters
        ----------
        problem
            Name of the problem; may be left out where the study has one only.
        value
            Column that is averaged, such as "ratio" or "total".

        Returns
        -------
        pandas.DataFrame
            One row per policy: instances, mean, ends of the interval, 95th percentile, worst.
        """
        return confidence.summary(self._valued(problem, value), value)

    def against(
        self, policy: str, problem: str | None = None, value: str = "ratio"
    ) -> pd.DataFrame:
        """Paired differences of all policies to one; "better" where the interval says so.

        Parameters
        ----------
        policy
            Name of the policy that the others are compared with.
        problem
            Name of the problem; may be left out where the study has one only.
        value
            Column that is compared; less is better.

        Returns
        -------
        pandas.DataFrame
            One row per other policy: number of instances, mean difference, its interval, verdict.
        """
        return confidence.against(self._valued(problem, value), policy, value)

    def plot(
        self, problem: str | None = None, kind: str | None = None, *, ax: Axes | None = None
    ) -> Figure:
        """Draw how the policies do over the instances: every instance, box, mean with interval.

        Parameters
        ----------
        problem
            One problem; by default all of them, a panel each.
        kind
            "ratios" (cost over the optimum, with the greatest proven limit; by default) or
            "savings" (against the problem's baseline).
        ax
            Axes to draw into, which take the first panel only; by default those of a new figure.

        Returns
        -------
        matplotlib.figure.Figure
            The figure, to be shown or saved.

        Raises
        ------
        UsageError
            The problem or the chart is unknown.
        """
        from optmodels.studies.drawing import draw_study

        return draw_study(self, problem, kind, ax)

    def _valued(self, problem: str | None, value: str) -> pd.DataFrame:
        rows = self.of(problem)
        numbers = [str(name) for name in rows.select_dtypes("number") if name != "seed"]
        if value not in numbers:
            raise UsageError.unknown("column", value, numbers)
        return rows

    def save(self, path: str | Path) -> Path:
        """Write the table, all or nothing: CSV or Parquet by the ending of the name.

        Parameters
        ----------
        path
            File to write, ending in .csv or .parquet.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        UsageError
            The ending is another one, or the file cannot be written.
        MissingExtraError
            Parquet needs pyarrow.
        """
        from optmodels.studies.tables import write_table

        return write_table(self.frame, Path(path))

    def records(self) -> list[dict[str, Any]]:
        """Rows as plain values for JSON, each with the columns of its problem; unknown is None.

        Returns
        -------
        list of dict
            One mapping per cell.
        """
        return [
            {name: None if isinstance(v, float) and np.isnan(v) else v for name, v in row.items()}
            for row in self.rows
        ]

    @property
    def headline(self) -> str:
        """What was done, in one line."""
        status = self.frame["status"].value_counts()
        words = [f"{status.get(kind, 0)} {kind}" for kind in (DONE, FAILED, SKIPPED)]
        shown = ", ".join(word for word in words if not word.startswith("0 "))
        instances = self.frame["fingerprint"].nunique()
        return f"study of {instances} instances: {shown} ({self.computed} computed now)"

    def __repr__(self) -> str:
        lines = [self.headline]
        for problem in self.problems:
            table = self.summary(problem)
            lines += [f"{problem}, ratio to the optimum", table.to_string(index=False, na_rep="-")]
        failed = self.failures
        if len(failed):
            lines.append(f"{len(failed)} cells failed, the first: {failed['error'].iloc[0]}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        tables = [
            f"<b>{html.escape(problem)}</b>{self.summary(problem).to_html(index=False, na_rep='–')}"
            for problem in self.problems
        ]
        return f"<b>{html.escape(self.headline)}</b>{''.join(tables)}"


def study(
    instances: Instance | str | Path | Sequence[Instance | str | Path],
    policies: Sequence[str | Policy] | Mapping[str, str | Policy] | None = None,
    *,
    forecasts: Sequence[str] | Mapping[str, Any] | None = None,
    seeds: Sequence[int] = (0,),
    executor: Executor | None = None,
    workers: int | None = None,
    store: str | Path | None = None,
    progress: bool | None = None,
) -> Study:
    """Compute policies and oracles on many instances, each cell once.

    Parameters
    ----------
    instances
        One or more instances or their folders, of one problem or several.
    policies
        Names, policy objects, or a mapping of labels to either; by default the usual set of each
        problem, from which policies that do not apply are marked as skipped.
    forecasts
        Kinds of forecast, or a mapping of labels to kinds, values or `Forecast` objects; by default
        what `compare` takes.
    seeds
        Seeds of random policies and noisy forecasts; every cell spawns its own from them.
    executor
        Any `concurrent.futures.Executor`, such as that of a ``dask.distributed`` client
        (``client.get_executor()``); by default the work is done here.
    workers
        Without an executor: number of processes to use.
    store
        Folder that keeps results: cells that are there are not computed again.
    progress
        Whether to show progress on stderr; by default on a terminal.

    Returns
    -------
    Study

    Raises
    ------
    UsageError
        There is nothing to do, a name is unknown, or an argument is out of range.
    InputError
        An instance or the store cannot be read.
    EngineError
        The executor broke; the store has what was done.
    """
    if workers is not None and (workers != int(workers) or workers < 1):
        raise UsageError(f"workers is {workers}; allowed: a whole number from 1.")
    if workers is not None and executor is not None:
        raise UsageError(
            "An executor and a number of workers exclude each other. Fix: give one of them."
        )
    # One question is a study of one, not a sequence of letters.
    many = [instances] if isinstance(instances, Instance | str | Path) else instances
    given = [one if isinstance(one, Instance) else api.load(one) for one in many]
    wanted = grid(given, policies, forecasts, seeds)
    records: dict[str, Record] = {}
    with ExitStack() as stack:
        kept: Store | None = None
        if store is not None:
            kept = stack.enter_context(Store(store))
            records = {c.key: kept.records[c.key] for c in wanted.cells if c.key in kept.records}
        missing = len(wanted.cells) - len(records)
        bar = stack.enter_context(_bar(missing, progress))

        def keep(found: Sequence[tuple[Cell, Record]]) -> None:
            if kept is not None:
                kept.append(found)
            records.update((record.key, record) for _, record in found)
            bar(len(found))

        run_cells(wanted, records, keep, executor=executor, workers=workers)
    return tabulated(wanted.cells, records, computed=missing)


def tabulated(cells: Sequence[Cell], records: Mapping[str, Record], computed: int) -> Study:
    """The study of cells and what came of them, in the order of the cells."""
    seconds = pd.Series([records[cell.key].seconds for cell in cells], name="seconds")
    rows = rows_of(cells, records)
    names = dict.fromkeys(name for row in rows for name in row if name != "error")
    return Study(pd.DataFrame(rows, columns=[*names, "error"]), seconds, computed, rows)


def rows_of(cells: Sequence[Cell], records: Mapping[str, Record]) -> list[dict[str, Any]]:
    """One row per cell, the same for the same records."""
    known: dict[str, Known] = {}
    base: dict[str, float] = {}
    for cell in cells:
        record = records[cell.key]
        if record.total is None:
            continue
        if is_oracle(cell.policy):
            known[cell.fingerprint] = Known(record.total, record.bound, record.gap)
        elif cell.policy == registry.problem(cell.problem).baseline:
            base.setdefault(cell.fingerprint, record.total)
    return [_row(cell, records[cell.key], known, base) for cell in cells]


def _row(
    cell: Cell, record: Record, known: Mapping[str, Known], base: Mapping[str, float]
) -> dict[str, Any]:
    total = np.nan if record.total is None else record.total
    optimum = known.get(cell.fingerprint)
    reference = np.nan if optimum is None else optimum.reference
    certified = np.nan if record.certified is None else record.certified
    if is_oracle(cell.policy) and optimum is not None:
        certified = optimum.objective
    against = base.get(cell.fingerprint, np.nan)
    return {
        "problem": cell.problem,
        "instance": cell.instance,
        "fingerprint": cell.fingerprint,
        "policy": cell.policy,
        "forecast": cell.forecast,
        "seed": cell.seed,
        "granted": cell.granted,
        "status": record.status,
        "total": total,
        "unit": record.unit,
        "ratio": _over(total, reference, least=1.0),
        "certified_ratio": _over(certified, reference, least=1.0),
        "saving": 1 - total / against if against > 0 else np.nan,
        **record.values,
        "error": record.error,
    }


def _over(value: float, reference: float, least: float) -> float:
    """Ratio to what no plan undercuts, but for rounding; 1 where both are nothing."""
    if reference > 0:
        return max(value / reference, least) if np.isfinite(value) else value
    return least if value == reference == 0 else np.nan


class _bar:  # noqa: N801 - a function that is a context
    """Progress on stderr: cells done, rate, and what is left."""

    def __init__(self, cells: int, shown: bool | None) -> None:
        self._cells, self._shown = cells, shown

    def __enter__(self) -> Callable[[int], None]:
        from tqdm import TqdmWarning

        with warnings.catch_warnings():
            # A notebook without widgets gets a plain bar, which is nothing to warn of.
            warnings.simplefilter("ignore", TqdmWarning)
            from tqdm.auto import tqdm
        # None: only where stderr is a terminal.
        off = None if self._shown is None else not self._shown
        self._tqdm = tqdm(total=self._cells, unit="cell", disable=off, smoothing=0.05)

        def move(count: int) -> None:
            self._tqdm.update(count)

        return move

    def __exit__(self, *error: object) -> None:
        self._tqdm.close()
