"""The plan: decisions, what they cost, and the proof that they are allowed.

Whoever decides (a solver, a threshold rule, a person with a spreadsheet), the result is a `Plan`,
and it is made in one way only: the problem's audit recomputes cost and feasibility in numpy from
the raw instance and the decisions. The objective that a plan reports is the audit's, never the
solver's. A plan whose audit finds a violation does not exist: making it raises `AuditError`.
"""

from __future__ import annotations

import html
import json
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from optmodels.atomic import write_text_atomically
from optmodels.cells import is_missing
from optmodels.errors import AuditError, Flaw, InputError, UsageError
from optmodels.instance import Instance

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: A chart of a plan: ``chart(instance, plan, *, ax=None) -> Figure``.
Chart = Callable[..., "Figure"]

PLAN_VERSION = 1
#: What a plan may be, in the words of `optmodels.solver.Status`: the endings with a solution.
STATUSES = ("optimal", "feasible")
_SHOWN_VIOLATIONS = 10


def installed_versions() -> dict[str, str]:
    """Versions of optmodels, Python and what computes the numbers."""
    return dict(_installed_versions())


@cache
def _installed_versions() -> dict[str, str]:
    # Asking the metadata of a package reads files: once per process is enough.
    found = {"python": platform.python_version()}
    for name in ("optmodels", "numpy", "scipy", "pandas", "pyomo", "highspy", "cvxpy"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@dataclass(frozen=True)
class Cost(Mapping[str, float]):
    """What a plan costs, split into named columns with their units in the names.

    Parameters
    ----------
    parts
        Columns that add up to the total, such as ``execution_g`` and ``switching_g``.
    quantities
        Further quantities that are reported beside them, such as ``energy_kwh``.
    unit
        Unit of the total.
    """

    parts: Mapping[str, float]
    quantities: Mapping[str, float]
    unit: str

    @property
    def total(self) -> float:
        """Sum of the parts: the objective of the problem."""
        return float(sum(self.parts.values()))

    @property
    def columns(self) -> dict[str, float]:
        """Total, parts and quantities by name."""
        return {"total": self.total, **self.parts, **self.quantities}

    def __getitem__(self, name: str) -> float:
        return self.columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    def __repr__(self) -> str:
        split = ", ".join(f"{k} {v:,.6g}" for k, v in {**self.parts, **self.quantities}.items())
        return f"{self.total:,.6g} {self.unit} ({split})"


@dataclass(frozen=True)
class Violation:
    """One limit that a plan breaks.

    Parameters
    ----------
    limit
        The limit in the words of the problem ("rate cap").
    where
        Slot, site or job.
    value
        What the plan does.
    allowed
        What would have been allowed.
    """

    limit: str
    where: str
    value: float
    allowed: str

    def __str__(self) -> str:
        place = f" at {self.where}" if self.where else ""
        return f"{self.limit}{place}: {self.value:.9g} (allowed: {self.allowed})"


@dataclass(frozen=True)
class Audit:
    """What the audit found: the recomputed cost and every broken limit."""

    cost: Cost
    violations: tuple[Violation, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether no limit is broken."""
        return not self.violations

    @property
    def frame(self) -> pd.DataFrame:
        """The violations, one a row."""
        return pd.DataFrame(
            [asdict(v) for v in self.violations], columns=["limit", "where", "value", "allowed"]
        )

    def require(self, who: str) -> None:
        """Raise if any limit is broken.

        Raises
        ------
        AuditError
            Names the broken limits.
        """
        if self.violations:
            shown = [f"  - {v}" for v in self.violations[:_SHOWN_VIOLATIONS]]
            more = len(self.violations) - _SHOWN_VIOLATIONS
            if more > 0:
                shown.append(f"  ... and {more} more.")
            count = len(self.violations)
            head = f"The plan of {who} breaks {count} limit{'' if count == 1 else 's'}:"
            raise AuditError("\n".join([head, *shown]))

    def __repr__(self) -> str:
        verdict = "no limit broken" if self.ok else f"{len(self.violations)} limits broken"
        return f"Audit({verdict}; {self.cost!r})"


@dataclass(frozen=True)
class Provenance:
    """How a plan was made, enough to make it again.

    Parameters
    ----------
    method
        Algorithm or policy, in words.
    seconds
        Wall time of making the decisions.
    options
        Options that were given.
    seed
        Seed of every random choice, None where there was none.
    """

    method: str
    seconds: float
    options: Mapping[str, object] = field(default_factory=dict)
    seed: int | None = None
    versions: Mapping[str, str] = field(default_factory=installed_versions)
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))


@dataclass(frozen=True)
class Question:
    """What a plan answers, at hand to draw it.

    Attributes
    ----------
    instance
        The instance.
    charts
        Charts of its problem by name, the usual one first.
    """

    instance: Instance
    charts: Mapping[str, Chart]


@dataclass(frozen=True, repr=False)
class Plan:
    """Audited decisions for one instance.

    Parameters
    ----------
    problem, instance, fingerprint
        Which question the plan answers: problem, instance name, instance fingerprint.
    maker
        "optimum", or the name of the policy that decided.
    status
        Status in the words of `optmodels.solver.Status`.
    bound
        Proven lower bound on the objective of any plan; None where none was computed.
    tables
        Decisions and their consequences as labelled frames.
    audit
        The audit of the decisions; it must be clean.
    provenance
        How the plan was made.
    question
        The instance with the charts of its problem, by which `plot` draws; None where a plan came
        without. It is neither compared nor saved, and does not travel with pickles, which would
        carry the whole instance.

    Raises
    ------
    AuditError
        The audit found a violation.
    """

    problem: str
    instance: str
    fingerprint: str
    maker: str
    status: str
    bound: float | None
    tables: Mapping[str, pd.DataFrame]
    audit: Audit
    provenance: Provenance
    question: Question | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        self.audit.require(f"'{self.maker}' for {self.instance}")

    @property
    def cost(self) -> Cost:
        """The audited cost."""
        return self.audit.cost

    @property
    def objective(self) -> float:
        """The audited total cost."""
        return self.audit.cost.total

    @property
    def gap(self) -> float | None:
        """Relative distance between objective and bound, None without a bound."""
        if self.bound is None:
            return None
        return max(0.0, self.objective - self.bound) / max(abs(self.objective), 1e-12)

    def to_frame(self) -> pd.DataFrame:
        """The main table of decisions, the first of `tables`.

        Returns
        -------
        pandas.DataFrame
            A copy; its columns are those of the problem, with units in their names.
        """
        return next(iter(self.tables.values())).copy()

    def summary(self) -> dict[str, object]:
        """The plan in one flat record, as the command line prints it.

        Returns
        -------
        dict
            Problem, instance, maker, status, objective, bound, gap, cost columns and seconds.
        """
        return {
            "problem": self.problem,
            "instance": self.instance,
            "fingerprint": self.fingerprint,
            "maker": self.maker,
            "method": self.provenance.method,
            "status": str(self.status),
            "objective": self.objective,
            "bound": self.bound,
            "gap": self.gap,
            "cost": self.cost.columns,
            "unit": self.cost.unit,
            "seconds": self.provenance.seconds,
        }

    def require_instance(self, instance: Instance) -> None:
        """Refuse an instance that this plan is not for.

        Parameters
        ----------
        instance
            The instance that the plan should answer.

        Raises
        ------
        UsageError
            The plan belongs to another instance.
        """
        if self.fingerprint != instance.fingerprint:
            raise UsageError(
                f"The plan belongs to '{self.instance}', not to '{instance.name}' as it is. Likely "
                "cause: the instance was changed after the plan was made. Fix: solve it again."
            )

    def plot(self, kind: str | None = None, *, ax: Axes | None = None) -> Figure:
        """Draw the plan.

        Parameters
        ----------
        kind
            Name of a chart of its problem; by default the first of ``plan.question.charts``.
        ax
            Axes to draw into; by default those of a new figure.

        Returns
        -------
        matplotlib.figure.Figure
            The figure; to keep it: ``plan.plot().savefig("plan.png")``.

        Raises
        ------
        UsageError
            The chart is unknown, or the plan came without its instance.
        """
        if self.question is None:
            raise UsageError(
                f"The plan of '{self.maker}' came without its instance, which a chart needs. Fix: "
                "optmodels.registry.bind(instance, plan).plot()"
            )
        charts = self.question.charts
        if kind is None:
            kind = next(iter(charts))
        if kind not in charts:
            raise UsageError.unknown("chart", kind, charts)
        return charts[kind](self.question.instance, self, ax=ax)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "question": None}

    def save(self, path: str | Path) -> Path:
        """Write the plan to one JSON file, all or nothing; numbers keep every digit.

        Parameters
        ----------
        path
            File to write; JSON, whatever its ending.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        UsageError
            The file cannot be written.
        InputError
            A number of the plan is infinite.
        """
        content = {
            "optmodels_plan": PLAN_VERSION,
            **self.summary(),
            "provenance": asdict(self.provenance),
            "tables": {name: _table_to_json(frame) for name, frame in self.tables.items()},
        }
        try:
            text = json.dumps(
                content, indent=1, ensure_ascii=False, allow_nan=False, default=_plain
            )
        except ValueError:
            raise InputError(
                Flaw(
                    "holds a number that is not finite",
                    field=f"plan of '{self.maker}'",
                    allowed="finite numbers",
                    cause="an option or a column that a policy of your own made is infinite",
                )
            ) from None
        write_text_atomically(Path(path), text + "\n")
        return Path(path)

    def __repr__(self) -> str:
        bound = "none" if self.bound is None else f"{self.bound:,.9g} {self.cost.unit}"
        gap = "" if self.gap is None else f", gap {self.gap:.2g}"
        lines = [
            f"Plan of '{self.maker}' for {self.instance} ({self.problem})",
            f"  status     {self.status}",
            f"  objective  {self.objective:,.9g} {self.cost.unit}",
            f"  bound      {bound}{gap}",
        ]
        columns = {**self.cost.parts, **self.cost.quantities}
        lines += [f"  {name:<20} {value:,.6g}" for name, value in columns.items()]
        lines.append(f"  method     {self.provenance.method} ({self.provenance.seconds:.3g} s)")
        lines += [f"  table {name}: {len(frame)} rows" for name, frame in self.tables.items()]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head, *_ = repr(self).splitlines()
        frame = pd.Series(self.summary()).drop("cost").to_frame("value")
        costs = pd.Series(self.cost.columns, name=self.cost.unit).to_frame()
        return f"<b>{html.escape(head)}</b>{frame.to_html()}{costs.to_html()}"


def _plain(value: object) -> object:
    """Value of an option as JSON has it: numbers of numpy as numbers, all else as text."""
    return value.item() if isinstance(value, np.generic) else str(value)


def _table_to_json(frame: pd.DataFrame) -> dict[str, object]:
    columns: dict[str, Sequence[object]] = {}
    times = []
    for name, values in frame.items():
        if isinstance(values.dtype, pd.DatetimeTZDtype):
            times.append(str(name))
            columns[str(name)] = [stamp.isoformat() for stamp in values]
        else:
            # JSON has no NaN: a gap is null.
            columns[str(name)] = [None if is_missing(v) else v for v in values.tolist()]
    return {"times": times, "columns": columns}
