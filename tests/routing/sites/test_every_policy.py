"""Every policy under every physics: no limit is broken, whatever the wind does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.forecast import PersistenceForecast
from optmodels.policy import Policy
from optmodels.routing.sites.audit import audit
from optmodels.routing.sites.policies import POLICIES
from optmodels.routing.sites.replay import decisions
from tests.routing.sites.instances import small
from tests.routing.sites.simple import run


def made(name: str) -> Policy:
    """A policy of this name."""
    kind = POLICIES[name]
    built: Policy = kind(seed=1) if kind.randomised else kind()  # type: ignore[call-arg]
    return built


@pytest.mark.parametrize("name", sorted(POLICIES))
@settings(deadline=None, derandomize=True, max_examples=8)
@given(
    seed=st.integers(0, 10**6),
    idle=st.sampled_from([None, 0.03, 0.2]),
    reload=st.sampled_from([0.0, 30.0, 300.0, 700.0]),
    backup=st.sampled_from([0.0, 4.0]),
    second=st.sampled_from(["latency", "power"]),
)
def test_no_limit_is_broken(
    name: str, seed: int, idle: float | None, reload: float, backup: float, second: str
) -> None:
    """The environment refuses nothing, and the audit of the whole plan is clean.

    Half of the periods of a site are calm, so that whole sites fall away and come back within a
    slot, with warm GPUs, long loading and grid connections.
    """
    inst = small(
        seed,
        periods=7,
        sites=2,
        gpus=12,
        classes=2,
        calm=0.5,
        backup_kw=backup,
        carbon=100.0,
        keep_warm=idle is not None,
        gpu_idle_kw=idle or 0.0,
        reload_seconds=reload,
        second_objective=second,
    )
    environment = run(inst, made(name), PersistenceForecast(inst.periods))
    found = audit(inst, decisions(environment))
    assert found.ok, found.frame
    assert found.cost.total <= float((inst.demand @ inst.weight).sum()) * 300 * (1 + 1e-9)
    if not backup:
        dark = inst.power_kw == 0
        taken = environment.decisions
        runs = np.zeros(inst.power_kw.shape, dtype=bool)
        runs[taken.run_period, taken.run_site] = True
        assert not (runs & dark).any()


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_nothing_to_do_and_nothing_to_do_it_with(name: str) -> None:
    """No demand, no power, or no GPUs at a site: nothing breaks, and what can be served is."""
    inst = small(3, periods=4, sites=2, gpus=12, classes=2, calm=0.0)
    tables = inst.tables
    for change in (
        {"demand": tables["demand"].assign(requests_per_s=0.0)},
        {"power": tables["power"].assign(power_kw=0.0)},
        {"sites": tables["sites"].assign(gpus=[0, 12])},
        {"links": tables["links"].assign(rtt_ms=1e9)},
    ):
        other = inst.replace(**change)
        environment = run(other, made(name), PersistenceForecast(other.periods))
        found = audit(other, decisions(environment))
        assert found.ok, found.frame
        if "sites" not in change:
            everything = float(other.demand.sum()) * 300
            assert found.cost.total == pytest.approx(everything, abs=1e-9)
