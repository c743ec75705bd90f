"""Threshold and learning-augmented algorithms as policies of the elastic job.

Each class puts one algorithm of `optmodels.scaling.job.conversion.algorithms` to work: it hands
over the window of carbon costs and what is known of the job's length, passes on the carbon cost of
each slot, and turns the answer, a rate in units of the full rate, into servers. With a profile
whose work is not proportional to its servers the algorithms see the job at its full-rate price;
nothing is proven then.

Where the theory's standing assumption 2β < U - L fails, no threshold can promise anything: the
policies then run at once and without a break, and say so in the log.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from dataclasses import replace
from typing import ClassVar

import numpy as np

from optmodels.errors import UsageError
from optmodels.policy import Observation
from optmodels.scaling.job.conversion import algorithms, ratios
from optmodels.scaling.job.conversion.core import Algorithm, CostBounds
from optmodels.scaling.job.conversion.guarantees import GUARANTEES, Guarantee, RunFacts
from optmodels.scaling.job.exact.schedule import schedule_cost
from optmodels.scaling.job.exact.taut_string import JobLengthCurve
from optmodels.scaling.job.instance import JobInstance
from optmodels.scaling.job.job_policy import JobPolicy, ahead, intensity

logger = logging.getLogger(__name__)


class ThresholdPolicy(JobPolicy):
    """Base of the policies that are driven by a conversion algorithm."""

    hidden_length: ClassVar[bool] = False
    guarantee: ClassVar[Guarantee]

    def start(self) -> None:
        """Hand over what is known in advance."""
        header = self.header
        if header.window is None:
            raise UsageError(
                f"The policy '{self.name}' needs the window of carbon intensities. Fix: give the "
                "instance carbon_lower_g_per_kwh and carbon_upper_g_per_kwh, or a table 'history'."
            )
        unit = header.unit
        low, high = (bound * unit.kwh for bound in header.window)
        self._algorithm: Algorithm | None = None
        self._undecided = True
        self._settled_work = 0.0
        self.bounds: CostBounds | None = None
        if not ratios.assumption_holds(low, high, unit.switching_g):
            logger.info(
                "%s: switching (2 x %g g) outweighs the window of carbon costs (%g to %g g); "
                "running at once, without a break",
                self.name,
                unit.switching_g,
                low,
                high,
            )
            return
        self.bounds = CostBounds(low, high, unit.switching_g)

    def wish(self, observation: Observation) -> float:
        """Servers for what the algorithm buys in this slot."""
        unit = self.header.unit
        if self.bounds is None:
            return self.header.cap
        if self._algorithm is None:
            self._algorithm = self.make(observation)
            known = not self.hidden_length
            lengths = (self.header.work_min / unit.throughput, self.longest / unit.throughput)
            self._algorithm.begin(lengths[1] if known else lengths, self.header.slots, unit.cap)
        self._settle(observation.state.work_done)
        rate = self._algorithm.decide(intensity(observation) * unit.kwh)
        self._settled_work = observation.state.work_done
        self._undecided = False
        return self.header.profile.servers_for(rate * unit.throughput)

    def _settle(self, work_done: float) -> None:
        """Tell the algorithm what was really executed since its last decision."""
        if self._algorithm is None or self._undecided:
            return
        executed = (work_done - self._settled_work) / self.header.unit.throughput
        self._algorithm.settle(executed)
        self._undecided = True

    @abstractmethod
    def make(self, observation: Observation) -> Algorithm:
        """Algorithm for this run, made when the first slot is observed."""

    def certified_limit(self, instance: JobInstance, optimum: float) -> float | None:
        """Most that the run just made can have cost [g]; None where nothing is proven for it."""
        if self.bounds is None or self._algorithm is None:
            return None
        # The last slot may have ended early, where a hidden length showed itself.
        self._settle(float(instance.parameters.work))
        return self.guarantee.certified_limit(self.facts(instance, optimum))

    def facts(self, instance: JobInstance, optimum: float) -> RunFacts:
        """What the certified limit depends on."""
        bounds, algorithm, unit = self.bounds, self._algorithm, instance.unit
        assert bounds is not None
        assert algorithm is not None
        hidden = instance.length_hidden and self.hidden_length
        return RunFacts(
            L=bounds.L,
            U=bounds.U,
            beta=bounds.beta,
            least_cost=float(instance.carbon.min()) * unit.kwh,
            greatest_cost=float(instance.carbon.max()) * unit.kwh,
            work=float(instance.parameters.work) / unit.throughput,
            cap=unit.cap,
            optimum=optimum,
            forced=algorithm.forced,
            shortest=self.header.work_min / unit.throughput if hidden else None,
            longest=self.header.work_max / unit.throughput if hidden else None,
            predicted=self.header.work_predicted / unit.throughput if hidden else None,
            linear=instance.profile.proportional,
        )


class Roro(ThresholdPolicy):
    """RORO: the threshold algorithm for a job of known length.

    Notes
    -----
    - Assumptions: carbon intensities within the window [L, U], 2β < U - L, work linear in servers,
      known length, the whole job fits into one slot.
    - Proven ratio: α, plus 2βq for the work q bought compulsorily; the additive term is our
      correction.
    - Complexity: O(1) per slot: one inversion of the threshold.
    - Reference: Lechowicz et al., "Online Conversion with Switching Costs", arXiv 2310.20598.
    """

    name = "roro"
    summary = "threshold with ratio alpha, keeps its rate in a dead band"
    needs = frozenset({"length"})
    guarantee = GUARANTEES["roro"]

    def make(self, observation: Observation) -> Algorithm:
        """RORO for the true length."""
        return algorithms.Roro(self._bounds())

    def _bounds(self) -> CostBounds:
        assert self.bounds is not None
        return self.bounds


class RoroPlus(Roro):
    """RORO with the ramp of the compulsory purchase inside its ratio; ours.

    Notes
    -----
    - Assumptions: carbon intensities within the window [L, U], 2β < U - L, work linear in servers,
      known length, the whole job fits into one slot.
    - Proven ratio: α+, without an additive term (our proof).
    - Complexity: O(1) per slot: one inversion of the threshold.
    - Reference: ours, after Lechowicz et al., "Online Conversion with Switching Costs", arXiv
      2310.20598.
    """

    name = "roro-plus"
    summary = "RORO, strictly competitive with its last ramp"
    guarantee = GUARANTEES["roro-plus"]

    def make(self, observation: Observation) -> Algorithm:
        """RORO+ for the true length."""
        return algorithms.RoroPlus(self._bounds())


class RateLimitedRoro(Roro):
    """RORO with a threshold that stays competitive under rate caps; ours.

    Notes
    -----
    - Assumptions: carbon intensities within the window [L, U], 2β < U - L, work linear in servers,
      known length; any uniform rate cap.
    - Proven ratio: r_RL, computed for the tabulated threshold (our proof).
    - Complexity: O(1) per slot; one table per window, computed once.
    - Reference: ours, after Lechowicz et al., "Online Conversion with Switching Costs", arXiv
      2310.20598.
    """

    name = "roro-rate-limited"
    summary = "threshold that stays competitive under rate caps"
    guarantee = GUARANTEES["roro-rate-limited"]

    def make(self, observation: Observation) -> Algorithm:
        """Rate-limit-safe RORO for the true length."""
        return algorithms.RateLimitedRoro(self._bounds())


class OneWayTrading(Roro):
    """One-way trading: the threshold for free switching.

    Notes
    -----
    - Assumptions: carbon intensities within the window [L, U], 2β < U - L, work linear in servers,
      known length, the whole job fits into one slot, β = 0.
    - Proven ratio: α at β = 0 (the paper's proof).
    - Complexity: O(1) per slot: one inversion of the threshold.
    - Reference: El-Yaniv et al., "Optimal Search and One-Way Trading Online Algorithms" (2001).
    """

    name = "one-way-trading"
    summary = "threshold that ignores switching"
    guarantee = GUARANTEES["one-way-trading"]

    def make(self, observation: Observation) -> Algorithm:
        """One-way trading for the true length."""
        return algorithms.OneWayTrading(self._bounds())


class SimpleThreshold(Roro):
    """Full rate whenever the carbon cost is at most the square root of L U.

    Notes
    -----
    - Assumptions: carbon intensities within the window [L, U], 2β < U - L, work linear in servers.
    - Proven ratio: none for this problem; sqrt(U/L) is known of one indivisible unit without
      switching.
    - Complexity: O(1) per slot.
    - Reference: baseline of Lechowicz et al., "Online Conversion with Switching Costs", arXiv
      2310.20598.
    """

    name = "sqrt-threshold"
    summary = "full rate below sqrt(L U)"
    needs = frozenset()
    hidden_length = True
    guarantee = GUARANTEES["simple-threshold"]

    def make(self, observation: Observation) -> Algorithm:
        """Constant threshold."""
        return algorithms.SimpleThreshold(self._bounds())


class RoroLongest(Roro):
    """RORO for the longest possible job.

    Notes
    -----
    - Assumptions: carbon intensities within the window [L, U], 2β < U - L, work linear in servers,
      the length within its range, the whole job fits into one slot.
    - Proven ratio: η(length/longest), plus 2βq (our proof).
    - Complexity: O(1) per slot: one inversion of the threshold.
    - Reference: Bostandoost et al., LACS, arXiv 2404.15211.
    """

    name = "roro-longest"
    summary = "RORO for the longest possible job"
    needs = frozenset()
    hidden_length = True
    guarantee = GUARANTEES["roro-predicted"]

    def make(self, observation: Observation) -> Algorithm:
        """RORO at the length scale of the longest job."""
        return algorithms.Roro(self._bounds())

    def facts(self, instance: JobInstance, optimum: float) -> RunFacts:
        """Facts with the longest length as prediction."""
        facts = super().facts(instance, optimum)
        longest = facts.range[1]
        return replace(facts, predicted=longest)


class RoroPredicted(Roro):
    """RORO for the predicted length.

    Notes
    -----
    - Assumptions: carbon intensities within the window [L, U], 2β < U - L, work linear in servers,
      the length within its range, the whole job fits into one slot, a predicted length.
    - Proven ratio: η(length/predicted), plus 2βq (our proof).
    - Complexity: O(1) per slot: one inversion of the threshold.
    - Reference: Bostandoost et al., LACS, arXiv 2404.15211.
    """

    name = "roro-predicted"
    summary = "RORO for the predicted length"
    needs = frozenset()
    hidden_length = True
    guarantee = GUARANTEES["roro-predicted"]

    def make(self, observation: Observation) -> Algorithm:
        """RORO at the length scale of the prediction."""
        predicted = self.header.work_predicted / self.header.unit.throughput
        return algorithms.Roro(self._bounds(), predicted)

    def facts(self, instance: JobInstance, optimum: float) -> RunFacts:
        """Facts with the prediction, which equals the length where that is known."""
        facts = super().facts(instance, optimum)
        predicted = self.header.work_predicted / self.header.unit.throughput
        return replace(facts, predicted=predicted)


class RobustRoro(Roro):
    """RORO for a length that is known only to lie in a range; ours.

    Notes
    -----
    - Assumptions: carbon intensities within the window [L, U], 2β < U - L, work linear in servers,
      the length within its range, the longest possible job fits into one slot.
    - Proven ratio: r*, plus 2βq (our proof).
    - Complexity: O(1) per slot: one inversion of the threshold.
    - Reference: the threshold is ours, for the robust part of Bostandoost et al., LACS, arXiv
      2404.15211.
    """

    name = "roro-robust"
    summary = "threshold with ratio r* for any length in the range"
    needs = frozenset()
    hidden_length = True
    guarantee = GUARANTEES["roro-robust"]

    def make(self, observation: Observation) -> Algorithm:
        """Robust RORO for the range of lengths."""
        return algorithms.RobustRoro(self._bounds())


class DoublingRoro(Roro):
    """RORO for guesses of the length that double.

    Notes
    -----
    - Assumptions: carbon intensities within the window [L, U], 2β < U - L, work linear in servers,
      a range of lengths.
    - Proven ratio: none.
    - Complexity: O(1) per slot: one inversion of the threshold.
    - Reference: baseline of Bostandoost et al., LACS, arXiv 2404.15211.
    """

    name = "doubling"
    summary = "RORO for guesses of the length that double"
    needs = frozenset()
    hidden_length = True
    guarantee = GUARANTEES["doubling-roro"]

    def make(self, observation: Observation) -> Algorithm:
        """Doubling from the shortest possible length."""
        return algorithms.DoublingRoro(self._bounds())


class Lacs(Roro):
    """LACS: a mix of RORO for the predicted length and robust RORO.

    Parameters
    ----------
    trust
        κ, the part that follows the prediction, 0 to 1.

    Notes
    -----
    - Assumptions: carbon intensities within the window [L, U], 2β < U - L, work linear in servers,
      a predicted length and a range of lengths.
    - Proven ratio: none certified: the mixed bound is exceeded by up to 10 % in adversarial runs.
    - Complexity: O(1) per slot: two inversions of thresholds.
    - Reference: Bostandoost et al., LACS, arXiv 2404.15211.
    """

    name = "lacs"
    summary = "mix of predicted and robust RORO for a hidden length"
    needs = frozenset()
    hidden_length = True
    guarantee = GUARANTEES["lacs"]

    def __init__(self, trust: float = 0.8) -> None:
        self.trust = _share(trust, "trust of lacs")

    def make(self, observation: Observation) -> Algorithm:
        """LACS for the predicted length and the range."""
        predicted = self.header.work_predicted / self.header.unit.throughput
        return algorithms.Lacs(self._bounds(), predicted, self.trust)


class AdvisedPolicy(Roro):
    """Base of the algorithms that follow an advice: the optimum of the forecast at arrival."""

    needs = frozenset({"forecast", "length"})

    def advice(self, observation: Observation) -> list[float]:
        """Optimal schedule for the forecast issued now, in units of the full rate."""
        unit = self.header.unit
        curve = JobLengthCurve.from_costs(ahead(observation) * unit.kwh, unit.switching_g, unit.cap)
        schedule: list[float] = curve.schedule(self.longest / unit.throughput).tolist()
        return schedule


class RoAdvice(AdvisedPolicy):
    """RO-Advice: a mix of the advice and RORO.

    Parameters
    ----------
    trust
        λ, the part that follows the advice, 0 to 1.

    Notes
    -----
    - Assumptions: carbon intensities within the window [L, U], 2β < U - L, work linear in servers,
      known length, the whole job fits into one slot.
    - Proven ratio: λ cost(advice) + (1 - λ) α OPT, plus 2βq with q = (1 - λ) times what RORO bought
      compulsorily (by convexity; our statement).
    - Complexity: O(T) once for the advice, O(1) per slot.
    - Reference: Lechowicz et al., "Online Conversion with Switching Costs", arXiv 2310.20598.
    """

    name = "ro-advice"
    summary = "mix of the optimum of the forecast and RORO"
    guarantee = GUARANTEES["ro-advice"]

    def __init__(self, trust: float = 0.5) -> None:
        self.trust = _share(trust, "trust of ro-advice")

    def make(self, observation: Observation) -> Algorithm:
        """RO-Advice with the optimum of the forecast."""
        self._advice = self.advice(observation)
        return algorithms.AdvisedRoro(self._bounds(), self._advice, self.trust)

    def facts(self, instance: JobInstance, optimum: float) -> RunFacts:
        """Facts with what the advice would have cost."""
        facts = super().facts(instance, optimum)
        unit = instance.unit
        cost = float(
            schedule_cost(instance.carbon * unit.kwh, np.array(self._advice), unit.switching_g)
        )
        return replace(facts, advice_cost=cost, weight=self.trust)


class Clip(AdvisedPolicy):
    """CLIP in one dimension: a threshold purchase that is held near the cost of the advice.

    Parameters
    ----------
    trust
        1 follows the advice, 0 ignores it: the loss ε that CLIP allows itself against good advice
        is (1 - trust) (α - 1).

    Notes
    -----
    - Assumptions: carbon intensities within the window [L, U], 2β < U - L, work linear in servers,
      known length, a forecast.
    - Proven ratio: none here: the paper proves (1 + ε)-consistency and robustness γ, but our
      statement in one dimension is a restatement that we have not proven.
    - Complexity: O(T) once for the advice, O(1) per slot.
    - Reference: Lechowicz et al., "Chasing Convex Functions with Long-term Constraints", arXiv
      2402.14012.
    """

    name = "clip"
    summary = "threshold held to the cost of the forecast's optimum"
    guarantee = GUARANTEES["clip"]

    def __init__(self, trust: float = 0.5) -> None:
        self.trust = _share(trust, "trust of clip")

    def make(self, observation: Observation) -> Algorithm:
        """CLIP with the optimum of the forecast."""
        bounds = self._bounds()
        spare = ratios.alpha(bounds.L, bounds.U, bounds.beta) - 1
        return algorithms.Clip(bounds, self.advice(observation), (1 - self.trust) * spare)


def _share(value: float, what: str) -> float:
    if not 0 <= value <= 1:
        raise UsageError(f"The {what} is {value:g}; allowed: 0 to 1.")
    return float(value)
