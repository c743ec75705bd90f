"""Where the distance to the optimum comes from.

Four plans of one instance, each knowing less than the one before:

1. the *oracle*, who knows everything;
2. a *planner* that plans again and again, with perfect forecasts but a horizon, and what is hidden
   (such as lengths of jobs) stays hidden: what it costs more is the **horizon loss**;
3. the same planner with the forecasts that there really were: the **forecast loss**;
4. an online *policy*, which commits without planning: the **commitment loss**, negative where the
   policy beats the planner.

The three losses and the oracle's cost sum to the policy's cost. Where the oracle's plan is not
proven optimal, its distance to the proven bound is shown as a column of its own: so much of the
horizon loss may be the oracle's.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from optmodels import api, registry
from optmodels.canvas import Result
from optmodels.comparison import OPTIMUM
from optmodels.errors import OptmodelsError, UsageError
from optmodels.instance import Instance
from optmodels.policy import Policy
from optmodels.studies.results import Study, study
from optmodels.studies.work import DONE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOSSES = ("horizon_loss", "forecast_loss", "commitment_loss")
_PERFECT, _REAL = "perfect", "real"


@dataclass(frozen=True, repr=False)
class Gaps(Result):
    """Losses of policies against the optimum.

    Attributes
    ----------
    frame
        One row per instance and policy: ``instance``, ``policy``, ``unit``, ``optimum``,
        ``horizon_loss``, ``forecast_loss``, ``commitment_loss``, ``total`` (their sum), and
        ``unproven`` (the optimum's distance to its bound).
    planner
        Policy that plans with a forecast.
    study
        The results that the losses are made of.
    """

    frame: pd.DataFrame
    planner: str
    study: Study

    def shares(self) -> pd.DataFrame:
        """Mean losses per policy as shares of the optimum of each instance.

        Returns
        -------
        pandas.DataFrame
            One row per policy: each loss as a share of the optimum.
        """
        relative = self.frame[[*LOSSES, "unproven"]].div(self.frame["optimum"], axis=0)
        return relative.groupby(self.frame["policy"], sort=False).mean().reset_index()

    def plot(self, ax: Axes | None = None) -> Figure:
        """Waterfall from the optimum to each policy, means over the instances.

        Parameters
        ----------
        ax
            Axes to draw on; by default a figure of its own.

        Returns
        -------
        matplotlib.figure.Figure
            The figure, to be shown or saved.
        """
        from optmodels.studies.drawing import draw_gaps

        return draw_gaps(self, ax)


def gaps(
    instances: Instance | str | Path | Sequence[Instance | str | Path],
    policies: Sequence[str | Policy] | None = None,
    *,
    forecast: Any = None,
    planner: str | Policy | None = None,
    seed: int = 0,
    executor: Executor | None = None,
    workers: int | None = None,
    store: str | Path | None = None,
) -> Gaps:
    """Decompose what policies lose against the optimum.

    Parameters
    ----------
    instances
        One instance or several of one problem, or their folders.
    policies
        Online policies; by default the usual set of the problem without those that do not apply.
    forecast
        What the planner and the policies really saw; by default what `compare` takes.
    planner
        The policy that plans; by default that of the problem.
    seed
        Of noisy forecasts and random policies.
    executor, workers, store
        As for `study`.

    Returns
    -------
    Gaps
        One row per instance and policy: the optimum, the three losses, and the total they sum to.

    Raises
    ------
    UsageError
        The problem has no planner and none is given, or the instances are of several problems.
    OptmodelsError
        The planner or the oracle failed on an instance.
    """
    many = [instances] if isinstance(instances, Instance | str | Path) else list(instances)
    given = [each if isinstance(each, Instance) else api.load(each) for each in many]
    names = {instance.problem for instance in given}
    if len(names) != 1:
        raise UsageError(
            f"gaps takes instances of one problem, at least one; given are "
            f"{', '.join(sorted(names)) or 'none'}. Fix: one call for each problem."
        )
    problem = registry.problem(names.pop())
    if planner is None and problem.planner is None:
        raise UsageError(f"'{problem.name}' has no planner of its own. Fix: give planner=...")
    chosen = problem.policy(planner or problem.planner or "")
    if "forecast" not in chosen.needs:
        raise UsageError(
            f"'{chosen.name}' uses no forecast, so it cannot be the planner. Fix: name a policy "
            "that plans with a forecast, or leave the planner out."
        )
    wanted = [problem.policy(each, seed) for each in policies or problem.default_policies]
    others = {policy.name: policy for policy in wanted if policy.name != chosen.name}
    found = study(
        given,
        {chosen.name: chosen, **others},
        forecasts={_PERFECT: "perfect", _REAL: forecast},
        seeds=[seed],
        executor=executor,
        workers=workers,
        store=store,
        progress=False,
    )
    rows = [
        row
        for instance in given
        for row in _rows(instance, found, chosen.name, strict=policies is not None)
    ]
    return Gaps(pd.DataFrame(rows), chosen.name, found)


def _rows(instance: Instance, found: Study, planner: str, *, strict: bool) -> list[dict[str, Any]]:
    mine = [row for row in found.rows if row["fingerprint"] == instance.fingerprint]
    for row in mine:
        needed = strict or row["policy"] in (OPTIMUM, planner)
        if needed and row["status"] != DONE:
            raise OptmodelsError(f"'{row['policy']}' failed on {instance.name}: {row['error']}")
    [optimum] = [row for row in mine if row["policy"] == OPTIMUM]
    planned = {row["forecast"]: row["total"] for row in mine if row["policy"] == planner}
    best, perfect, real = optimum["total"], planned[_PERFECT], planned[_REAL]
    return [
        {
            "instance": instance.name,
            "policy": row["policy"],
            "unit": row["unit"],
            "optimum": best,
            "horizon_loss": perfect - best,
            "forecast_loss": real - perfect,
            "commitment_loss": row["total"] - real,
            "total": row["total"],
            "unproven": best - best / optimum["ratio"],
        }
        for row in mine
        if row["policy"] != OPTIMUM and row["forecast"] != _PERFECT and row["status"] == DONE
    ]
