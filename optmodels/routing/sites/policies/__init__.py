"""Policies: the baselines, a router that only reacts, and Heron."""

from __future__ import annotations

from optmodels.policy import Policy
from optmodels.routing.sites.policies.dynamollm import (
    GpuIdling,
    GreedyLatency,
    PowerCapping,
    WeightedRoundRobin,
)
from optmodels.routing.sites.policies.heron import Heron
from optmodels.routing.sites.policies.reactive import Reactive

POLICIES: dict[str, type[Policy]] = {
    kind.name: kind
    for kind in (Heron, WeightedRoundRobin, GreedyLatency, PowerCapping, GpuIdling, Reactive)
}
"""Policies by name."""
