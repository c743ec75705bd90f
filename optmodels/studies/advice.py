"""How good a policy is with good advice, and how bad with bad advice.

A learning-augmented algorithm promises two things: *consistency*, to be near the optimum where its
advice is good, and *robustness*, never to be worse than a proven factor however bad the advice is.
The curve shows both: the same policies on the same instances while the forecast goes from the truth
to its mirror image (`optmodels.forecast.adversarial`), or from the truth to noise, with the proven
limit of every run drawn in where there is one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from optmodels.canvas import Result
from optmodels.comparison import OPTIMUM
from optmodels.errors import UsageError
from optmodels.instance import Instance
from optmodels.policy import Policy
from optmodels.studies.confidence import by_instance, interval
from optmodels.studies.results import Study, study

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KINDS = ("adversarial", "noise")
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
#: Noise of this size would turn values to nothing; it is the most that is drawn.
_MOST_NOISE = 0.95


@dataclass(frozen=True, repr=False)
class AdviceCurve(Result):
    """Ratios to the optimum by the quality of the advice.

    Attributes
    ----------
    frame
        One row per policy and share: ``policy``, ``share`` (0 is perfect advice), ``instances``,
        ``mean`` ratio with its interval ``low`` to ``high``, ``worst`` ratio, and
        ``proven_mean``, ``proven_worst``: the same of the proven limits, NaN where nothing is
        proven for some instance.
    kind
        How the advice gets worse.
    study
        The results behind the rows.
    """

    frame: pd.DataFrame
    kind: str
    study: Study

    def plot(self, ax: Axes | None = None) -> Figure:
        """Mean ratio over the share, with intervals and the proven limits.

        Parameters
        ----------
        ax
            Axes to draw on; by default a figure of its own.

        Returns
        -------
        matplotlib.figure.Figure
            The figure, to be shown or saved.
        """
        from optmodels.studies.drawing import draw_advice

        return draw_advice(self, ax)


def advice_curve(
    instances: Instance | str | Path | Sequence[Instance | str | Path],
    policies: Sequence[str | Policy] | Mapping[str, str | Policy],
    *,
    kind: str = "adversarial",
    shares: Sequence[float] = SHARES,
    seeds: Sequence[int] = (0,),
    executor: Executor | None = None,
    workers: int | None = None,
    store: str | Path | None = None,
) -> AdviceCurve:
    """Measure policies while their advice goes from perfect to useless.

    Parameters
    ----------
    instances
        One or more instances of one problem, or their folders.
    policies
        Policies; those without a forecast give a level line to compare with.
    kind
        "adversarial" blends the truth with its mirror image, "noise" multiplies it by noise of
        that size.
    shares
        How much of it: 0 is the truth, 1 the worst.
    seeds
        Of noise and random policies.
    executor, workers, store
        As for `study`.

    Returns
    -------
    AdviceCurve
        Mean ratios by policy and share of the way from the truth, with proven limits.

    Raises
    ------
    UsageError
        The kind is unknown, or a share is out of range.
    """
    if kind not in KINDS:
        raise UsageError.unknown("kind of advice", kind, KINDS)
    for share in shares:
        if not 0 <= share <= 1:
            raise UsageError(f"A share of bad advice is {share:g}; allowed: 0 to 1.")
    views = {f"{share:g}": _spec(kind, share) for share in shares}
    if not views:
        raise UsageError("shares is empty; allowed: numbers from 0 to 1, at least one.")
    found = study(
        instances,
        policies,
        forecasts=views,
        seeds=seeds,
        executor=executor,
        workers=workers,
        store=store,
        progress=False,
    )
    frame = found.of()
    rows = []
    for name in dict.fromkeys(frame["policy"]):
        if name == OPTIMUM:
            continue
        mine = frame[frame["policy"] == name]
        level = (mine["forecast"] == "none").all()
        for share in sorted(set(shares)):
            part = mine if level else mine[mine["forecast"] == f"{share:g}"]
            rows.append({"policy": name, "share": share, **_numbers(part)})
    return AdviceCurve(pd.DataFrame(rows), kind, found)


def _spec(kind: str, share: float) -> str:
    if share == 0:
        return "perfect"
    return f"{kind}:{share * _MOST_NOISE if kind == 'noise' else share:g}"


def _numbers(part: pd.DataFrame) -> dict[str, float]:
    ratios = by_instance(part, "ratio").to_numpy().ravel()
    proven = part.loc[part["status"] == "done", "certified_ratio"].to_numpy(dtype=np.float64)
    low, high = interval(ratios)
    known = len(proven) > 0 and not np.isnan(proven).any()
    return {
        "instances": len(ratios),
        "mean": float(ratios.mean()) if len(ratios) else np.nan,
        "low": low,
        "high": high,
        "worst": float(ratios.max()) if len(ratios) else np.nan,
        "proven_mean": float(proven.mean()) if known else np.nan,
        "proven_worst": float(proven.max()) if known else np.nan,
    }
