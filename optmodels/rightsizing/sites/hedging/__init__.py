"""Sizes for hundreds of scenarios: progressive hedging on MPI ranks, with a proven bound.

All scenarios in one programme, the extensive form of `solve_two_stage`, soon take too long. They
hang together only by what is decided once: sizes, batteries, openings. *Progressive hedging*
(Rockafellar and Wets, 1991) lets each scenario decide by itself, then prices the difference to the
mean of all decisions and pulls each towards it, and again, until they agree:

    x_k   = argmin  E_k(x) + W_k x + ρ/2 (x - x̄)²
    x̄     = Σ π_k x_k,        W_k ← W_k + ρ (x_k - x̄)

Since Σ π_k W_k = 0, the prices alone, without the pull, prove a lower bound at any time, with or
without integers: Σ π_k min (E_k(x) + W_k x) (Gade, Hackebeil, Ryan, Watson, Wets and Woodruff,
2016). The mean decisions, made whole where there are modules, can be built: what they cost is an
upper bound, and it is recomputed from the raw scenarios by the audit. What is between the two is
the gap; with integers it may stay open however long one hedges.

The iteration is that of mpi-sppy, its ranks are MPI's, its subproblems are ours (`subproblem`).
With an even number of ranks every second one does nothing but prove bounds. ``bundle`` joins
several scenarios to one subproblem: fewer iterations, larger programmes.

Run it by::

    mpiexec -n 2 python -m optmodels.rightsizing.sites.hedging FOLDER --weeks 50 --errors 4

It needs the extra ``stochastic``. `scenario_creator` gives the whole Pyomo model of a scenario to
whoever wants to use other parts of mpi-sppy.

Rooms: `iteration` (the decomposition and its result), `firststage` (fleets that could be built from
what scenarios agree on), `ranks` (MPI, and mpi-sppy's output), `__main__` (the command).
"""

from optmodels.rightsizing.sites.hedging.iteration import (
    Hedged,
    progressive_hedging,
    scenario_creator,
)
from optmodels.rightsizing.sites.hedging.ranks import quiet

__all__ = ["Hedged", "progressive_hedging", "quiet", "scenario_creator"]
