"""Policies beside the optimum: how far is each from the best possible.

`compare` solves an instance to proven optimality, replays every policy on it without letting any
of them see the future, audits all plans with the same audit, and puts them into one table: cost
split, ratio to the optimum, and, where an algorithm carries a proof whose assumptions the instance
meets, the proven limit of that ratio.
"""

from __future__ import annotations

import html
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from optmodels import registry
from optmodels.errors import SolverError, UsageError
from optmodels.forecast import Forecast, make_forecast
from optmodels.instance import Instance
from optmodels.plan import Plan, Provenance
from optmodels.policy import Policy, replay

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)

#: A policy may undercut the optimum, and a proven limit, by rounding only, relative to the optimum.
ROUNDING = 1e-7
OPTIMUM = "optimum"
#: Charts of a comparison, the usual one first.
CHARTS = ("ratios", "costs")


@dataclass(frozen=True, repr=False)
class Comparison:
    """Policies beside the optimum of one instance.

    Attributes
    ----------
    frame
        One row per policy, the optimum first: ``instance``, ``policy``, ``total``, ``ratio``
        (total over the optimum; where the oracle's plan is not proven optimal: over its proven
        bound, so that no ratio looks better than it is; where that is 0, the ratio is 1 for a plan
        that costs nothing and infinite for any other), ``certified_ratio`` (proven limit of the
        ratio, NaN where nothing is proven for this instance), the cost columns, facts such as
        ``switches``, ``saving`` against the baseline, ``granted`` (what the policy was told beyond
        header and past), ``seconds``.
    optimum
        Plan of the oracle, with its bound.
    plans
        Audited plan of each policy.
    skipped
        Policies of the default set that do not apply here, with the reason.
    unit
        Unit of the totals.
    baseline
        Policy against which savings are reported.
    """

    frame: pd.DataFrame
    optimum: Plan
    plans: Mapping[str, Plan]
    skipped: Mapping[str, str]
    unit: str
    baseline: str

    def records(self) -> list[dict[str, Any]]:
        """Rows as plain values for JSON; what is not known, or infinite, is None.

        Returns
        -------
        list of dict
            One mapping per row; what is not a finite number is None.
        """
        return [
            {
                str(k): None if isinstance(v, float) and not np.isfinite(v) else v
                for k, v in row.items()
            }
            for row in self.frame.to_dict("records")
        ]

    def plot(self, kind: str | None = None, *, ax: Axes | None = None) -> Figure:
        """Draw the policies beside the optimum, in the order of the rows.

        Parameters
        ----------
        kind
            "ratios" (a dot for each, with the proven limit as a tick; by default) or "costs" (what
            each cost is made of).
        ax
            Axes to draw into; by default those of a new figure, higher the more rows there are.

        Returns
        -------
        matplotlib.figure.Figure
            The figure, to be shown or saved.

        Raises
        ------
        UsageError
            The chart is unknown.
        """
        from optmodels.canvas import draw_costs, draw_ratios

        kind = CHARTS[0] if kind is None else kind
        if kind not in CHARTS:
            raise UsageError.unknown("chart", kind, CHARTS)
        names = [str(name) for name in self.frame["policy"]]
        title = f"{self.optimum.instance} ({self.optimum.problem})"
        if kind == "costs":
            plans = {**self.plans, OPTIMUM: self.optimum}
            return draw_costs({name: plans[name].cost for name in names}, title, ax)
        return draw_ratios(
            names,
            self.frame["ratio"],
            # The optimum needs no limit: it is one.
            self.frame["certified_ratio"].mask(self.frame["policy"] == OPTIMUM),
            reference=OPTIMUM if _proven(self.optimum) else "proven bound",
            title=title,
            ax=ax,
        )

    def _head(self) -> str:
        plan = self.optimum
        gap = "" if plan.gap is None else f", gap {plan.gap:.1g}"
        bound = "" if plan.bound is None else f" (proven bound {plan.bound:,.6f} {self.unit}{gap})"
        what = "optimum" if _proven(plan) else "best plan of the oracle"
        return f"{plan.instance}: {what} {plan.objective:,.6f} {self.unit}{bound}"

    def __repr__(self) -> str:
        text = self.frame.drop(columns="instance").to_string(index=False, na_rep="-")
        notes = [f"skipped {name}: {reason}" for name, reason in self.skipped.items()]
        return "\n".join([self._head(), text, *notes])

    def _repr_html_(self) -> str:
        table = self.frame.drop(columns="instance").to_html(index=False, na_rep="–")
        return f"<b>{html.escape(self._head())}</b>{table}"


def compare(
    instance: Instance,
    policies: Sequence[str | Policy] | None = None,
    *,
    forecast: str | Forecast | ArrayLike | None = None,
    seed: int = 0,
    optimum: Plan | None = None,
) -> Comparison:
    """Replay policies on an instance and measure them against its optimum.

    Parameters
    ----------
    instance
        The question.
    policies
        Names or policy objects; by default the problem's usual set, from which policies that do
        not apply to the instance are left out with a reason.
    forecast
        What policies with a forecast see: a kind of `optmodels.forecast` such as "day-before",
        "perfect" or "noise:0.2", one value per slot, or a `Forecast`. By default the real forecasts
        of the instance where it has any, else the usual ones of the problem (`Series.default`).
    seed
        Seed of forecast noise and of random policies.
    optimum
        Plan of the oracle where it is known already.

    Returns
    -------
    Comparison
        Table and plans, the optimum first; what was left out stands in ``skipped``.

    Raises
    ------
    UsageError
        A policy or forecast is unknown, or a policy asked for does not apply.
    InfeasibleError
        The instance has no plan at all.
    AuditError
        A policy made a plan that breaks a limit.
    SolverError
        A policy is better than the proven optimum, or crosses a limit that is proven for it: one of
        the two is wrong.
    """
    if seed < 0:
        raise UsageError(f"The seed is {seed}; allowed: a whole number from 0.")
    problem = registry.problem(instance.problem)
    chosen = [problem.policy(name, seed) for name in (policies or problem.default_policies)]
    best = registry.bind(instance, optimum or problem.solve(instance))
    source, label = forecast_of(problem, instance, forecast, seed)
    plans: dict[str, Plan] = {}
    reference = _reference(best)
    certified = _ratio(best.objective, reference)
    rows = [_row(problem, instance, best, reference, OPTIMUM, "everything", certified)]
    skipped: dict[str, str] = {}
    for policy in _with_baseline(problem, chosen, seed):
        try:
            plan = run(instance, policy, forecast=source, seed=seed)
        except UsageError as error:
            if policies is not None:
                raise
            skipped[policy.name] = str(error)
            continue
        plans[policy.name] = plan
        limit = problem.certify(instance, policy, plan, best)
        granted = ", ".join(label if need == "forecast" else need for need in sorted(policy.needs))
        certified = np.nan if limit is None or reference <= 0 else limit / reference
        row = _row(problem, instance, plan, reference, policy.name, granted, certified)
        if row["ratio"] > certified * (1 + ROUNDING):
            raise SolverError(
                f"'{policy.name}' costs {row['ratio']:.9g} times the optimum of {instance.name}, "
                f"but at most {certified:.9g} is proven: the proof, its assumptions or the code "
                "is wrong."
            )
        rows.append(row)
    frame = pd.DataFrame(rows)
    base = plans.get(problem.baseline)
    if base is not None:
        saving = 1 - frame["total"] / base.objective if base.objective > 0 else np.nan
        frame.insert(list(frame.columns).index("granted"), "saving", saving)
    wanted = [OPTIMUM, *(policy.name for policy in chosen)]
    frame = frame[frame["policy"].isin(wanted)].reset_index(drop=True)
    return Comparison(frame, best, plans, skipped, best.cost.unit, problem.baseline)


def run(
    instance: Instance,
    policy: Policy,
    *,
    forecast: Forecast | None = None,
    seed: int = 0,
) -> Plan:
    """Replay one policy on an instance and audit what it did.

    Raises
    ------
    UsageError
        The policy needs a forecast and none is given, or it does not apply to the instance.
    AuditError
        The policy's plan breaks a limit.
    """
    problem = registry.problem(instance.problem)
    started = time.perf_counter()
    if "forecast" in policy.needs and forecast is None:
        raise UsageError(f"The policy '{policy.name}' needs a forecast. Fix: give forecast=...")
    # A policy that does not ask for forecasts is not shown any.
    shown = forecast if "forecast" in policy.needs else None
    environment = problem.environment(instance, granted=policy.needs, forecast=shown)
    replay(environment, policy)
    seconds = time.perf_counter() - started
    tables = problem.decisions(environment)
    plan = Plan(
        problem=instance.problem,
        instance=instance.name,
        fingerprint=instance.fingerprint,
        maker=policy.name,
        status="feasible",
        bound=None,
        tables=tables,
        audit=problem.audit(instance, tables),
        provenance=Provenance(policy.summary, seconds, seed=seed),
    )
    return registry.bind(instance, plan)


def forecast_of(
    problem: registry.Problem,
    instance: Instance,
    spec: str | Forecast | ArrayLike | None,
    seed: int,
) -> tuple[Forecast | None, str]:
    """Forecast that policies of an instance see, and what a comparison calls it."""
    series = problem.series(instance)
    if spec is None:
        spec = series.default if series.vintages is None else "vintages"
    made = make_forecast(
        spec,
        series.truth,
        slots_per_day=series.slots_per_day,
        rng=np.random.default_rng(seed),
        vintages=series.vintages,
        published=series.published,
    )
    return made, f"forecast {spec}" if isinstance(spec, str) else "forecast given"


def _with_baseline(problem: registry.Problem, chosen: Sequence[Policy], seed: int) -> list[Policy]:
    """The policies to run: the baseline is needed for the savings even if nobody asked for it."""
    if any(policy.name == problem.baseline for policy in chosen):
        return list(chosen)
    return [problem.policy(problem.baseline, seed), *chosen]


def _proven(best: Plan) -> bool:
    """Whether the oracle's plan is the optimum, but for rounding."""
    return best.gap is not None and best.gap <= ROUNDING


def _reference(best: Plan) -> float:
    """What no plan undercuts: the optimum, or its bound where the oracle could not prove one."""
    if _proven(best) or best.bound is None:
        return best.objective
    return best.bound


def _ratio(total: float, reference: float) -> float:
    """How many times what no plan undercuts; of nothing, nothing is once and all else endless."""
    if reference > 0:
        return total / reference
    if reference < 0:
        return float("nan")
    return 1.0 if total <= 0 else float("inf")


def _row(
    problem: registry.Problem,
    instance: Instance,
    plan: Plan,
    reference: float,
    name: str,
    granted: str,
    certified: float,
) -> dict[str, Any]:
    ratio = _ratio(plan.objective, reference)
    if ratio < 1 - ROUNDING:
        raise SolverError(
            f"'{name}' costs {plan.objective:.12g}, less than the {reference:.12g} that any plan "
            f"of {instance.name} must cost: the oracle, its bound or the audit is wrong."
        )
    return {
        "instance": instance.name,
        "policy": name,
        "total": plan.objective,
        "ratio": max(ratio, 1.0),
        "certified_ratio": certified,
        **{k: v for k, v in plan.cost.columns.items() if k != "total"},
        **problem.facts(instance, plan),
        "granted": granted,
        "seconds": plan.provenance.seconds,
    }
