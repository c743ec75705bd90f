"""Goodput of single requests: what became of each, and what of it counts.

With the round trip counted once, ``ttft = wait + reading + RTT``, ``e2e`` from arrival
to the last token plus RTT, and ``tbt = (e2e - ttft) / (tokens - 1)``, 0 for one token. A request is
*ok* if all three keep the limits of its class; otherwise it is *late*. It is *dropped* if no server
had a place for it in time, at its arrival or when its turn came, and *lost* if its server lost the
power.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optmodels.errors import UsageError
from optmodels.policy import FloatArray, frozen
from optmodels.routing.sites.instance import RoutingInstance
from optmodels.routing.sites.profile import IntArray, integers
from optmodels.routing.sites.requests import Requests

OUTCOMES = ("ok", "late", "dropped", "lost")
OK, LATE, DROPPED, LOST = range(4)
#: Not over yet.
PENDING = -1
TIMES = ("ttft_s", "tbt_s", "e2e_s", "wait_s")
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Simulated:
    """What became of the requests.

    Attributes
    ----------
    requests
        They.
    outcome
        Place of each request's outcome among `OUTCOMES`.
    ttft_s, tbt_s, e2e_s
        Times with the round trip; NaN for requests that were dropped or lost.
    wait_s
        Time in queues; NaN likewise.
    seconds
        Length of the plan [s]; later seconds only finish what is in service.
    draw_kw, limit_kw
        Most power drawn in each second, and the power there was, shape (seconds, S).
    reloads
        Servers that were loaded anew.
    """

    requests: Requests
    outcome: IntArray
    ttft_s: FloatArray
    tbt_s: FloatArray
    e2e_s: FloatArray
    wait_s: FloatArray
    seconds: float
    draw_kw: FloatArray
    limit_kw: FloatArray
    reloads: int

    @property
    def goodput_per_s(self) -> float:
        """Requests that were ok, per second."""
        return float((self.outcome == OK).sum()) / self.seconds

    @property
    def token_goodput_per_s(self) -> float:
        """Tokens of the answers that were ok, per second."""
        return float(self.requests.output_tokens[self.outcome == OK].sum()) / self.seconds

    @property
    def attainment(self) -> float:
        """Share of the requests that were ok; 1 where none arrived."""
        return float((self.outcome == OK).mean()) if len(self.outcome) else 1.0

    @property
    def counts(self) -> dict[str, int]:
        """Requests by outcome."""
        found = np.bincount(self.outcome, minlength=len(OUTCOMES))
        return {name: int(count) for name, count in zip(OUTCOMES, found, strict=True)}

    @property
    def seconds_over_power(self) -> int:
        """Seconds in which a site drew more than there was: 0, or the simulation is wrong."""
        over = self.draw_kw > self.limit_kw * (1 + 2 * _ROUNDING)
        return int(over.any(axis=1).sum())

    def percentile_s(self, what: str, share: float) -> float:
        """Percentile (0 to 100) of "ttft_s", "tbt_s", "e2e_s" or "wait_s" of what was served."""
        if what not in TIMES:
            raise UsageError.unknown("time", what, TIMES)
        values: FloatArray = getattr(self, what)
        served = values[~np.isnan(values)]
        return float(np.percentile(served, share)) if len(served) else float("nan")


def judged(
    instance: RoutingInstance,
    requests: Requests,
    *,
    outcome: IntArray,
    place: IntArray,
    start_s: FloatArray,
    first_s: FloatArray,
    end_s: FloatArray,
    seconds: float,
    draw_kw: FloatArray,
    limit_kw: FloatArray,
    reloads: int,
) -> Simulated:
    """Judge requests by the limits of their classes.

    Parameters
    ----------
    instance, requests
        The fleet and what came to it.
    outcome
        `OK` for what was served, whether in time or not; `DROPPED` or `LOST` for the rest.
    place
        Site that served each request.
    start_s, first_s, end_s
        When each began, had its first token read, and ended, at the site [s].
    seconds, draw_kw, limit_kw, reloads
        As of `Simulated`.
    """
    profile, code = instance.profile, requests.request_class
    served = outcome == OK
    trip = np.where(served, instance.rtt_s[requests.origin, place], np.nan)
    ttft = first_s - requests.arrival_s + trip
    e2e = end_s - requests.arrival_s + trip
    following = requests.output_tokens - 1
    tbt = np.where(following > 0, (e2e - ttft) / np.maximum(following, 1), 0.0 * trip)
    allowed = 1 + _ROUNDING
    in_time = (
        (ttft <= profile.ttft_limit[code] * allowed)
        & (tbt <= profile.tbt_limit[code] * allowed)
        & (e2e <= profile.e2e_limit[code] * allowed)
    )
    return Simulated(
        requests=requests,
        outcome=integers(np.where(served & ~in_time, LATE, outcome)),
        ttft_s=frozen(ttft),
        tbt_s=frozen(tbt),
        e2e_s=frozen(e2e),
        wait_s=frozen(np.where(served, start_s - requests.arrival_s, np.nan)),
        seconds=seconds,
        draw_kw=frozen(draw_kw),
        limit_kw=frozen(limit_kw),
        reloads=reloads,
    )
