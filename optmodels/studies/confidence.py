"""How sure a difference between policies is.

Cells of one instance are not independent of each other: they share its carbon and its jobs. So the
values of an instance are averaged over seeds and forecasts first, and what is resampled are
instances. An interval comes from the bias-corrected bootstrap (Efron, 1987), a p-value from the
paired permutation test of signs; both are scipy's. One policy is called better than another only
where the whole interval of their difference says so.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from optmodels.errors import UsageError
from optmodels.policy import FloatArray

LEVEL = 0.95
_RESAMPLES = 2000
#: Fewer instances than that say nothing about others.
FEWEST = 5

BETTER, WORSE, OPEN = "better", "worse", "not told apart"


def interval(values: FloatArray, *, level: float = LEVEL, seed: int = 0) -> tuple[float, float]:
    """Bootstrap confidence interval of a mean.

    Parameters
    ----------
    values
        One per instance.
    level
        Share of intervals that hold the true mean.
    seed
        Of the resampling.

    Returns
    -------
    tuple of float
        Ends; NaN for fewer than `FEWEST` values.
    """
    if not 0 < level < 1:
        raise UsageError(f"level is {level:g}; allowed: more than 0 and less than 1.")
    if len(values) < FEWEST or not np.isfinite(values).all():
        return float("nan"), float("nan")
    if np.ptp(values) <= 1e-12 * np.abs(values).max():
        return float(values.min()), float(values.max())
    from scipy.stats import bootstrap

    found: Any = bootstrap(
        (values,),
        np.mean,
        n_resamples=_RESAMPLES,
        confidence_level=level,
        rng=np.random.default_rng(seed),
        method="BCa",
        vectorized=True,
    )
    low, high = float(found.confidence_interval.low), float(found.confidence_interval.high)
    if np.isnan(low) or np.isnan(high):
        # Without a jackknife spread there is nothing to correct by; plain percentiles remain.
        means = np.random.default_rng(seed).choice(values, (_RESAMPLES, len(values))).mean(axis=1)
        low, high = np.percentile(means, [50 * (1 - level), 50 * (1 + level)]).tolist()
    return low, high


def p_value(differences: FloatArray, *, seed: int = 0) -> float:
    """Probability of a mean difference as large by chance, if signs were; two-sided.

    Parameters
    ----------
    differences
        One per instance; NaN comes out for fewer than `FEWEST`.
    seed
        Of the permutations, of which up to 2,000 are tried.
    """
    if len(differences) < FEWEST or not np.isfinite(differences).all():
        return float("nan")
    if not differences.any():
        return 1.0
    from scipy.stats import permutation_test

    found: Any = permutation_test(
        (differences,),
        np.mean,
        permutation_type="samples",
        n_resamples=_RESAMPLES,
        vectorized=True,
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)


def by_instance(frame: pd.DataFrame, value: str) -> pd.DataFrame:
    """Mean of a column over the cells of each instance, instance × policy."""
    done = frame[frame["status"] == "done"]
    table = done.pivot_table(index="fingerprint", columns="policy", values=value, sort=False)
    return table.astype(np.float64)


def summary(
    frame: pd.DataFrame, value: str, *, level: float = LEVEL, seed: int = 0
) -> pd.DataFrame:
    """Mean of a column per policy, with its interval.

    Parameters
    ----------
    frame
        Rows of one problem of a study.
    value
        Column, such as "ratio".
    level, seed
        Of the intervals.

    Returns
    -------
    pandas.DataFrame
        ``policy``, ``instances``, ``mean``, ``low``, ``high``, ``p95`` (percentile), ``worst``.
    """
    rows = []
    for policy, values in by_instance(frame, value).items():
        known = values.dropna().to_numpy()
        low, high = interval(known, level=level, seed=seed)
        rows.append(
            {
                "policy": policy,
                "instances": len(known),
                "mean": known.mean() if len(known) else np.nan,
                "low": low,
                "high": high,
                "p95": np.percentile(known, 95) if len(known) else np.nan,
                "worst": known.max() if len(known) else np.nan,
            }
        )
    return pd.DataFrame(rows)


def against(
    frame: pd.DataFrame, policy: str, value: str, *, level: float = LEVEL, seed: int = 0
) -> pd.DataFrame:
    """Paired differences of all policies to one, and what they allow to be said.

    Parameters
    ----------
    frame
        Rows of one problem of a study.
    policy
        The one to compare with.
    value
        Column of which less is better, such as "ratio".
    level, seed
        Of the intervals.

    Returns
    -------
    pandas.DataFrame
        ``policy``, ``instances`` (that both have), ``difference`` (mean), ``low``, ``high``, ``p``,
        ``verdict``: "better", "worse" or "not told apart".

    Raises
    ------
    UsageError
        The policy has no results.
    """
    table = by_instance(frame, value)
    if policy not in table:
        raise UsageError.unknown("policy", policy, [str(name) for name in table])
    rows = []
    for other in table:
        if other == policy:
            continue
        differences = (table[other] - table[policy]).dropna().to_numpy()
        low, high = interval(differences, level=level, seed=seed)
        verdict = BETTER if high < 0 else WORSE if low > 0 else OPEN
        rows.append(
            {
                "policy": other,
                "instances": len(differences),
                "difference": differences.mean() if len(differences) else np.nan,
                "low": low,
                "high": high,
                "p": p_value(differences, seed=seed),
                "verdict": verdict,
            }
        )
    return pd.DataFrame(rows)
