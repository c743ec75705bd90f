"""The formulation: one optimum with the exact oracles, and what its audit says."""

from __future__ import annotations

import numpy as np
import pyomo.environ as pyo
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.scaling.job.audit import audit, tables_of
from optmodels.scaling.job.exact import JobLengthCurve, level_oracle
from optmodels.scaling.job.model import concrete_model, formulation, model_data
from tests.scaling.job.instances import CONCAVE, MEASURED, job, random_job

GOLDEN = [300, 200, 100, 150, 400, 120, 90, 350]
OPTIMA = [125, 250, 390, 540, 740, 1040, 1390, 1750]

#: One server does more per switched server, two do more per kW: the hull has only two.
FEWER_SERVERS = [(1, 5.0, 10.0), (2, 7.0, 12.0)]
#: Four servers idle at the power of three: good for nothing but staying switched on.
IDLE = [(1, 1.0, 1.0), (3, 3.0, 2.5), (4, 1.0, 2.5)]


def solve(inst):
    """Optimal value of the LP by Pyomo's own HiGHS interface, and the audit of its shares."""
    model = inst.model()
    results = pyo.SolverFactory("appsi_highs").solve(model)
    assert results.solver.termination_condition == "optimal"
    levels = inst.levels
    shares = np.zeros((inst.slots, levels.servers.size))
    for (t, k), variable in model.share.items():
        shares[t - 1, k] = max(variable.value or 0.0, 0.0)
    return pyo.value(model.emissions), audit(inst, tables_of(inst, shares, levels))


@pytest.mark.parametrize(("work", "expected"), list(enumerate(OPTIMA, start=1)))
def test_golden_optima(work, expected):
    """The worked example: β = 20, 1 kW, 1 h; LP, audit and taut string say the same.

    Without the last ramp down the first would be 105, without both 90.
    """
    inst = job(GOLDEN, work=work, switching_g=20)
    value, found = solve(inst)
    assert value == pytest.approx(expected, rel=1e-9)
    assert found.ok
    assert found.cost.total == pytest.approx(expected, rel=1e-9)
    curve = JobLengthCurve.from_costs(inst.carbon, 20.0)
    assert curve.cost(work) == pytest.approx(expected, rel=1e-12)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(
    st.integers(0, 10**6),
    st.sampled_from([None, CONCAVE, MEASURED, FEWER_SERVERS, IDLE]),
    st.sampled_from([None, 0.4, 0.9]),
    st.sampled_from([15.0, 60.0]),
)
def test_lp_audit_and_oracles_agree(seed, profile, cap_share, minutes):
    """Random jobs, with and without profiles and caps: one optimum, and no limit broken.

    The oracle gets *all* measured levels: an LP over the hull alone would be dearer where a level
    off the hull saves switched servers.
    """
    rng = np.random.default_rng(seed)
    slots = int(rng.integers(1, 13))
    full = 1.0 if profile is None else float(max(row[0] for row in profile))
    cap = None if cap_share is None else cap_share * full
    base = random_job(rng, slots=slots, profile=profile, rate_cap=cap, minutes=minutes)
    servers, throughput, power = base.measured
    inst = base.replace(work=float(rng.uniform(0.05, 0.99)) * slots * base.most_work)
    value, found = solve(inst)
    assert found.ok, found.violations
    assert found.cost.total == pytest.approx(value, rel=1e-7)
    off = [np.append(0.0, values) for values in (servers, throughput, power)]
    exact = level_oracle(
        inst.carbon * inst.slot_hours,
        *off,
        switching=inst.parameters.switching_g,
        work=inst.parameters.work,
        cap=inst.cap,
    )
    assert value == pytest.approx(exact.cost, rel=1e-7)
    if profile is None:
        curve = JobLengthCurve.from_costs(
            inst.carbon * inst.slot_hours, inst.parameters.switching_g, inst.cap
        )
        assert value == pytest.approx(curve.cost(inst.parameters.work), rel=1e-7)


def test_a_level_off_the_hull_can_be_the_optimum():
    """One server for 5 units: 10 kW · 1 g + 2 · 100 g = 210; two for 5/7 of the time: 294.

    The hull of (power, throughput) holds only the two, and a bound from it would be wrong.
    """
    inst = job([1.0], profile=FEWER_SERVERS, work=5, switching_g=100)
    value, found = solve(inst)
    assert value == pytest.approx(210, rel=1e-9)
    assert found.cost.total == pytest.approx(210, rel=1e-9)
    assert found.ok


def test_a_cap_can_make_a_level_off_the_hull_the_optimum():
    """At most one server and no switching cost: 5 units need the level that the hull leaves out."""
    inst = job([1.0], profile=FEWER_SERVERS, work=5, rate_cap=1.0)
    value, found = solve(inst)
    assert value == pytest.approx(10, rel=1e-9)
    assert found.ok


def test_the_model_says_what_it_is():
    """Every constraint is named and described; the formulation holds no data."""
    blank = formulation()
    assert not blank.is_constructed()
    assert all(c.doc for c in blank.component_objects(pyo.Constraint))
    model = concrete_model(job(GOLDEN, work=2, switching_g=20))
    names = {c.name for c in model.component_objects(pyo.Constraint)}
    assert names == {"finish", "one_state", "rate_limit", "first_ramp", "ramp"}
    assert len(model.ramp) == 7
    assert "scaling.job" in model.name


def test_a_single_slot_has_both_ramps():
    """T = 1: no ramp between slots, but up and down are paid."""
    value, found = solve(job([10], work=0.8, switching_g=5))
    assert value == pytest.approx(8 + 8, rel=1e-9)
    assert found.cost.total == pytest.approx(16, rel=1e-9)


def test_the_data_of_the_model_are_those_of_the_instance():
    """Levels without off, carbon per kW through the slot, the cap in servers."""
    data = model_data(job([10, 20], profile=CONCAVE, minutes=30, work=1, rate_cap=2.5))
    assert list(data["levels"]) == [1, 2, 3, 4]
    assert data["carbon_g_per_kw"].tolist() == [5, 10]
    assert data["servers"].tolist() == [1, 2, 3, 4]
    assert data["rate_cap"] == 2.5
