r"""From measurements to a profile table: the laws, and what is measured of what comes out.

An instance of g GPUs at the clock share φ holds b requests at any time; as one leaves, the next is
read. With n_in tokens of the prompt and n_out of the answer:

- reading a prompt alone takes :math:`p = a_g(n_{in})/\varphi` (bound by computing), and costs the
  instance :math:`p' = n_{in}\, \min_{m \ge n_{in}} a_g(m)/m\, /\varphi \le p`: short prompts are
  read together, as fast per token as any longer one that was measured;
- a token of all b takes :math:`d = d_g(b)\,(1 - \kappa + \kappa/\varphi)`: moving weights and keys
  through memory does not wait for the clock, the rest does;
- a new request waits for the token under way and for prompts read before its own, which come
  irregularly: :math:`w = \frac{b-1}{b}\frac{d}{2} + (b-1)\frac{p'^2}{2\,(n_{out}-1)\,d}`, the mean
  wait behind non-preemptive work of fixed length (Cobham's formula for two priorities) of an
  instance that is never empty; the factors of b - 1 leave out the request itself;
- so TTFT = p + w; between its tokens the prompts of the others are read, so
  TBT = :math:`d + (b-1)\,p'/(n_{out}-1)`; E2E = TTFT + (n_out - 1) TBT;
- by Little's law the instance serves λ = b/E2E; all times are means;
- it draws :math:`W = g\,[w_{idle} + (w_{full} - w_{idle})\,u_g(b)\,\varphi^{\gamma}]`.

The forms of the laws of clock and power follow what is known of GPUs; they, the numbers κ and γ,
and the law of waiting are ours, not Heron's. `PROVENANCE` says what is measured of each column.

At φ = 1 on the instance that ML.ENERGY measured, b·n_out over the times of this model gives its
throughput within a few per cent for prompts of 150 tokens (tests/routing/sites/test_laws.py):
the time that its throughput leaves beside the tokens is the same for every batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd
from scipy.optimize import isotonic_regression

from optmodels.errors import Flaw, InputError, UsageError
from optmodels.policy import FloatArray
from optmodels.routing.sites.measured import MEASURED, ServingFacts

FREQUENCIES = (0.4, 0.55, 0.7, 0.8, 0.9, 1.0)
"""Clocks as shares of the fastest."""

PROVENANCE: Mapping[str, str] = MappingProxyType(
    {
        "tp": "measured: 2, 4 and 8 GPUs",
        "frequency": "law: times and power were measured at the fastest clock only",
        "batch": "chosen; the largest is what fits into the memory, which is by law",
        "ttft_s": "measured prefill of one prompt, interpolated by its length; wait by law",
        "tbt_s": "measured time between tokens on 4 GPUs; its ratio to that on 2 and 8 GPUs "
        "measured up to batches of 32 and 64, above them held; prompts in between by law",
        "e2e_s": "law, from ttft_s and tbt_s",
        "requests_per_s": "law (Little), from e2e_s",
        "power_kw": "measured use of the range of power on 4 GPUs; its ratio to that on 2 and 8 "
        "GPUs measured on another GPU up to batches of 16, above them held; host and clock by law",
    }
)
"""What is measured of each column of a profile table, and what follows from it by law."""


@dataclass(frozen=True)
class Laws:
    """Numbers of the laws.

    Parameters
    ----------
    clock_bound
        κ: share of the time of a token that waits for the clock.
    clock_exponent
        γ: how power rises with the clock.
    idle_kw, full_kw
        Power of a GPU with its share of host and cooling, at rest and at its rated power [kW].
    gpu_idle_kw
        Power of the GPU alone at rest [kW]: where its range of power begins.

    Raises
    ------
    InputError
        Numbers out of range; all of them together.
    """

    clock_bound: float = 0.25
    clock_exponent: float = 2.2
    idle_kw: float = 0.25
    full_kw: float = 1.3
    gpu_idle_kw: float = 0.1

    def __post_init__(self) -> None:
        flaws = [
            Flaw("is out of range", field=name, value=value, allowed=f"{low:g} .. {high:g}")
            for name, value, low, high in (
                ("clock_bound", self.clock_bound, 0, 1),
                ("clock_exponent", self.clock_exponent, 1, 4),
                ("idle_kw", self.idle_kw, 0, self.full_kw),
                ("full_kw", self.full_kw, 1e-6, 1e6),
                ("gpu_idle_kw", self.gpu_idle_kw, 0, 1e6),
            )
            if not low <= value <= high
        ]
        if flaws:
            raise InputError(flaws, "laws of profiles")


def profile_table(
    classes: pd.DataFrame,
    facts: ServingFacts = MEASURED,
    laws: Laws | None = None,
    *,
    degrees: Sequence[int] | None = None,
    frequencies: Sequence[float] = FREQUENCIES,
    levels: int = 8,
    most: int = 256,
) -> pd.DataFrame:
    """Table ``profile`` of an instance: every class, degree, clock and load.

    Loads are batches of 1 to the most that fits into the memory, or `most`: whole numbers that
    rise by about equal factors. A degree whose memory does not hold one request of a class has no
    rows for it; where fewer than `levels` requests fit, there are as many rows as requests.

    Parameters
    ----------
    classes
        Table ``classes`` of the instance (`optmodels.routing.sites.measured.class_table`).
    facts
        Measurements; by default those of a model of 70 billion weights on H100.
    laws
        Numbers of the laws.
    degrees
        Numbers of GPUs of an instance; by default all that were measured.
    frequencies
        Clocks as shares of the fastest.
    levels
        Loads per class, degree and clock.
    most
        Largest batch.

    Returns
    -------
    DataFrame
        ``row``, ``class``, ``tp``, ``frequency``, ``batch``, ``requests_per_s``, ``power_kw``,
        ``ttft_s``, ``tbt_s``, ``e2e_s``, by class, degree, clock and batch.

    Raises
    ------
    UsageError
        A degree that was not measured, clocks outside 0 .. 1, loads or batches below 1 or above
        what was measured.
    InputError
        A class that fits nowhere, or with prompts longer than any that was measured; answers of
        one token.
    """
    numbers = Laws() if laws is None else laws
    measured = [int(column) for column in facts.token_s.columns]
    chosen = measured if degrees is None else [int(degree) for degree in degrees]
    for degree in chosen:
        if degree not in measured:
            raise UsageError.unknown("degree", str(degree), [str(one) for one in measured])
    largest = int(facts.served.index.max())
    if not (levels >= 1 and 1 <= most <= largest):
        raise UsageError(
            f"levels must be 1 or more and most in 1 .. {largest}, not {levels} and {most}."
        )
    if not frequencies or not all(0 < share <= 1 for share in frequencies):
        raise UsageError(f"frequencies must be shares in 0 .. 1, above 0, not {frequencies!r}.")
    _check(classes, facts, chosen)
    parts = []
    for _, one in classes.iterrows():
        tokens, answer = float(one["input_tokens"]), float(one["output_tokens"])
        for degree in chosen:
            fitting = int(facts.fitting_tokens(degree) / (tokens + answer))
            if fitting < 1:
                continue
            batch = batches(min(fitting, most), levels)
            part = _times(facts, numbers, degree, tokens, answer, batch, frequencies)
            part.insert(0, "tp", degree)
            part.insert(0, "class", str(one["class"]))
            parts.append(part)
    table = pd.concat(parts, ignore_index=True)
    table.insert(0, "row", np.arange(len(table)))
    return table


def batches(largest: int, levels: int) -> FloatArray:
    """Whole numbers from 1 to `largest`, about equal factors apart, none twice."""
    if levels >= largest:
        return np.arange(1.0, largest + 1)
    found = np.rint(np.geomspace(1, largest, levels)) if levels > 1 else np.array([largest])
    # Rounding makes small neighbours equal: move them up, which never passes the largest.
    rising: FloatArray = np.maximum.accumulate(found - np.arange(levels)) + np.arange(levels)
    return rising.astype(np.float64)


def _check(classes: pd.DataFrame, facts: ServingFacts, degrees: Sequence[int]) -> None:
    longest = float(facts.prefill_s.index.max())
    room = max(facts.fitting_tokens(degree) for degree in degrees)
    flaws = []
    for _, one in classes.iterrows():
        tokens, answer = float(one["input_tokens"]), float(one["output_tokens"])
        label = f"class {one['class']}"
        if not 0 < tokens <= longest:
            flaws.append(
                Flaw(
                    "is out of the range that was measured",
                    field=f"input_tokens of {label}",
                    value=tokens,
                    allowed=f"above 0, at most {longest:g} tokens",
                )
            )
        if not answer > 1:
            field = f"output_tokens of {label}"
            flaws.append(Flaw("has no time between tokens", None, None, field, answer, "> 1"))
        if tokens + answer > room:
            allowed = f"at most {room:.0f} tokens beside the weights on {max(degrees)} GPUs"
            value = tokens + answer
            flaws.append(Flaw("does not fit", field=label, value=value, allowed=allowed))
    if flaws:
        raise InputError(flaws, "classes of a profile")


def _times(
    facts: ServingFacts,
    laws: Laws,
    degree: int,
    tokens: float,
    answer: float,
    batch: FloatArray,
    frequencies: Sequence[float],
) -> pd.DataFrame:
    """Rows of one class and degree, by clock and batch."""
    clock = np.repeat(np.asarray(frequencies, dtype=np.float64), len(batch))
    held = np.tile(batch, len(frequencies))
    alone, shared = prefill(facts, degree, tokens)
    token = np.tile(decode(facts, degree, batch), len(frequencies))
    use = np.tile(utilisation(facts, laws, degree, batch), len(frequencies))
    token = token * (1 - laws.clock_bound + laws.clock_bound / clock)
    alone_s, shared_s = alone / clock, shared / clock
    others, following = held - 1, answer - 1
    wait = others / held * token / 2 + others * shared_s**2 / (2 * following * token)
    first = alone_s + wait
    between = token + others * shared_s / following
    whole = first + following * between
    range_kw = laws.full_kw - laws.idle_kw
    return pd.DataFrame(
        {
            "frequency": clock,
            "batch": held,
            "requests_per_s": held / whole,
            "power_kw": degree * (laws.idle_kw + range_kw * use * clock**laws.clock_exponent),
            "ttft_s": first,
            "tbt_s": between,
            "e2e_s": whole,
        }
    )


def prefill(facts: ServingFacts, degree: int, tokens: float) -> tuple[float, float]:
    """Time to read a prompt alone, and what it costs among others, at the fastest clock [s]."""
    lengths = facts.prefill_s.index.to_numpy(dtype=np.float64)
    # Longer prompts take no less time: what is measured to the contrary is noise.
    times = _rising(facts.prefill_s[degree].to_numpy(dtype=np.float64))
    alone = float(np.interp(tokens, lengths, times))
    longer = lengths >= tokens
    per_token = np.append(times[longer] / lengths[longer], alone / tokens).min()
    return alone, float(per_token * tokens)


def decode(facts: ServingFacts, degree: int, batch: FloatArray) -> FloatArray:
    """Time of a token by batch at the fastest clock [s]."""
    base, ratio = _curve(facts.served["token_s"], facts.token_s, facts.served_gpus, degree)
    grid = base.index.to_numpy(dtype=np.float64)
    return np.interp(batch, grid, _rising(base.to_numpy() * ratio))


def utilisation(facts: ServingFacts, laws: Laws, degree: int, batch: FloatArray) -> FloatArray:
    """Share of the range of power of a GPU that is in use at the fastest clock, by batch."""
    base, ratio = _curve(facts.served["gpu_kw"], facts.power_share, facts.served_gpus, degree)
    grid = base.index.to_numpy(dtype=np.float64)
    drawn = np.interp(batch, grid, _rising(base.to_numpy() * ratio))
    return np.clip((drawn - laws.gpu_idle_kw) / (facts.rated_kw - laws.gpu_idle_kw), 0.0, 1.0)


def _curve(
    served: pd.Series[float], table: pd.DataFrame, served_gpus: int, degree: int
) -> tuple[pd.Series[float], FloatArray]:
    """What was measured under concurrent requests, on all batches; and the ratio of a degree to it.

    Batches smaller than any of `served` take their shape from `table`; ratios hold on beyond the
    largest batch of the table.
    """
    own = table[served_gpus].dropna()
    known, at = own.to_numpy(dtype=np.float64), own.index.to_numpy(dtype=np.float64)
    curve = served.sort_index()
    least = float(curve.index[0])
    smaller = at[at < least]
    scale = float(curve.iloc[0]) / float(np.interp(least, at, known))
    grid = np.concatenate([smaller, curve.index.to_numpy(dtype=np.float64)])
    values = np.concatenate([known[at < least] * scale, curve.to_numpy(dtype=np.float64)])
    both = table[[served_gpus, degree]].dropna() if degree != served_gpus else None
    if both is None:
        return pd.Series(values, index=grid), np.ones(len(grid))
    ratio = (both[degree] / both[served_gpus]).to_numpy(dtype=np.float64)
    places = np.log(both.index.to_numpy(dtype=np.float64))
    return pd.Series(values, index=grid), np.interp(np.log(grid), places, ratio)


def _rising(values: FloatArray) -> FloatArray:
    """The nearest values, by least squares, that do not fall."""
    return np.asarray(isotonic_regression(values).x, dtype=np.float64)
