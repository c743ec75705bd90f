"""Elastic servers: the printed table, the break-even, and both ends of the front."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import optmodels as om
from optmodels.errors import InputError, UsageError
from optmodels.scaling.efficiency import Contest, ElasticServers

DAY = 300 + 200 * np.sin(2 * np.pi * np.arange(24) / 24)


@pytest.mark.parametrize(
    ("decay", "saving", "penalty"),
    [(1.0, 0.410, 0.0), (0.9, 0.301, 0.106), (0.8, 0.225, 0.130), (0.6, 0.110, 0.167)],
)
def test_table_of_decays(decay, saving, penalty):
    """A day of 300 ± 200 g/kWh, 12 h of work, up to 8 servers, against the 12 cleanest hours."""
    servers = ElasticServers(8, decay)
    single = om.solve(ElasticServers(1, decay).job(DAY, 12)).objective
    assert single == pytest.approx(np.sort(DAY)[:12].sum())
    front = om.frontier(servers.job(DAY, 12)).frame
    greenest = front.iloc[-1]
    assert 1 - greenest["carbon_g"] / single == pytest.approx(saving, abs=5e-4)
    assert greenest["energy_kwh"] / 12 - 1 == pytest.approx(penalty, abs=5e-4)
    contest = Contest.of(front, 12)
    assert contest.energy_penalty == pytest.approx(penalty, abs=5e-4)
    if decay < 1:
        # One server is the most efficient, so the end of least energy is that of a single server.
        assert contest.energy_optimal.carbon_g == pytest.approx(single)
        assert contest.carbon_gain == pytest.approx(saving, abs=5e-4)
    else:
        # All numbers of servers are equally efficient: the two ends are one point.
        assert len(front) == 1


def test_most_efficient_number_of_servers():
    """Without base power one server; with it, more: θ(k)/P(k) of 1/3, 1.9/4, 2.71/5, 3.44/6."""
    assert ElasticServers(4, 0.9).most_efficient == 1
    servers = ElasticServers(4, 0.9, kw_per_server=1, base_kw=2)
    assert servers.energy_efficiency == pytest.approx([1 / 3, 1.9 / 4, 2.71 / 5, 3.439 / 6])
    assert servers.most_efficient == 4
    assert ElasticServers(4, 0.6, base_kw=1).most_efficient == 2


@settings(deadline=None, derandomize=True, max_examples=40)
@given(st.integers(1, 5), st.sampled_from([0.5, 0.75, 1.0]), st.sampled_from([0.0, 0.5, 2.0]))
def test_the_rule_flips_where_the_optimum_does(servers, decay, base):
    """Beside one clean slot the optimum opens the dirty one exactly below the break-even ratio.

    A rule that forgot the base power (k_E = 1) would open it elsewhere.
    """
    farm = ElasticServers(servers + 1, decay, base_kw=base)
    for running in range(farm.most_efficient, farm.servers):
        ratio = farm.break_even_ratio(running)
        added = farm.marginal_throughput[running]
        work = farm.throughput[running - 1] + 0.5 * added
        for dirty, pays in ((ratio * (1 + 1e-6), True), (ratio * (1 - 1e-6), False)):
            clean, dirty_g = 100.0, 100.0 * dirty
            assert (
                farm.scaling_pays(running, clean_g_per_kwh=clean, dirty_g_per_kwh=dirty_g) == pays
            )
            plan = om.solve(farm.job([clean, dirty_g], work))
            opened = plan.tables["schedule"]["servers"].iloc[1] > 1e-9
            # In ties further servers, or none, may be as good; a hair off the tie there is one way.
            assert opened != pays


def test_the_rule_at_equality():
    """Equality is no reason to scale: half the throughput per kW at half the intensity."""
    farm = ElasticServers(3, 0.5)
    assert farm.break_even_ratio(1) == 2
    assert not farm.scaling_pays(1, clean_g_per_kwh=100, dirty_g_per_kwh=200)
    assert farm.scaling_pays(1, clean_g_per_kwh=100, dirty_g_per_kwh=200.0000001)
    assert not farm.scaling_pays(1, clean_g_per_kwh=100, dirty_g_per_kwh=199.9999999)


def test_constant_intensity_leaves_nothing_to_gain():
    """With one intensity and decaying throughput the front is a point: π_C = π_E = 0."""
    front = om.frontier(ElasticServers(4, 0.8, base_kw=0.3).job([300.0] * 6, 4)).frame
    assert len(front) == 1
    contest = Contest.of(front)
    assert (contest.carbon_gain, contest.energy_penalty) == (0, 0)


def test_least_energy_runs_at_the_most_efficient_number():
    """With a base power the end of least energy runs at k_E: W / EE(k_E) kWh."""
    servers = ElasticServers(6, 0.8, base_kw=1.5)
    front = om.frontier(servers.job(DAY, 10)).frame
    assert front["energy_kwh"].iloc[0] == pytest.approx(10 / servers.energy_efficiency.max())


def test_refusals():
    """Bad numbers are told all at once; the rule speaks only of servers beyond the best."""
    with pytest.raises(InputError, match="4 problems"):
        ElasticServers(0, 1.5, kw_per_server=0, base_kw=-1)
    with pytest.raises(UsageError, match="speaks of 1"):
        ElasticServers(3, 0.5).break_even_ratio(3)
