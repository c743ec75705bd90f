"""Planner-S: no more power than there is, steps down by least loss, sites that take over."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.routing.sites.control import Controller
from optmodels.routing.sites.fleet import Fleet
from optmodels.routing.sites.planner import Planner
from optmodels.routing.sites.rounding import left_over
from optmodels.routing.sites.sending import Sender
from tests.routing.sites.fleets import fleet, random_question
from tests.routing.sites.instances import toy_h1

MANY = settings(max_examples=15, deadline=None, derandomize=True)
SEEDS = st.integers(0, 10_000)


def assert_physical(made, power, demand, dispatch, effective=None):
    """GPUs, configured instances, power, rates, loading and demand, all recomputed here."""
    configured, running, flow = dispatch.configured, dispatch.running, dispatch.flow
    per_degree = np.stack(
        [running[:, made.degree_of == g].sum(axis=1) for g in range(len(made.degrees))], axis=1
    )
    assert (configured @ made.degrees <= made.gpus).all()
    assert (per_degree <= configured).all()
    draw = running @ made.kw + ((configured - per_degree) * made.degrees * made.idle_kw).sum(axis=1)
    most = power + made.backup_kw
    assert (draw <= most * (1 + 1e-8)).all()
    by_row = flow.sum(axis=0)
    assert (flow >= 0).all() and not flow[~made.ok].any()
    assert (by_row <= made.rate * running * (1 + 1e-9)).all()
    busy = np.stack(
        [
            (by_row / made.rate)[:, made.degree_of == g].sum(axis=1)
            for g in range(len(made.degrees))
        ],
        axis=1,
    )
    serving = configured if effective is None else np.minimum(effective, configured)
    assert (busy <= serving * (1 + 1e-9) + 1e-9).all()
    for c in range(made.classes):
        served = flow[:, :, made.row_class == c].sum(axis=(1, 2))
        assert (served <= demand[:, c] * (1 + 1e-9)).all()


def lost_of(made, demand, dispatch):
    """Weighted demand that a dispatch does not serve."""
    served = np.stack(
        [dispatch.flow[:, :, made.row_class == c].sum(axis=(1, 2)) for c in range(made.classes)],
        axis=1,
    )
    return float((demand - served).sum(axis=0) @ made.weight)


@MANY
@given(
    seed=SEEDS,
    factor=st.floats(0.0, 1.5),
    idle=st.sampled_from([0.0, 0.2]),
    second=st.sampled_from(["latency", "power"]),
)
def test_never_more_power_than_there_is(seed, factor, idle, second):
    """Whatever the power turns out to be, and whatever loads, every limit holds (T1.1)."""
    made, power, demand = random_question(seed, idle_kw=idle, backup_kw=0.5, sites=3)
    plan = Planner(made, second).plan(power, demand)
    rng = np.random.default_rng(seed)
    real = power * factor * rng.uniform(0, 1.5, made.sites)
    wanted = demand * rng.uniform(0, 2, demand.shape)
    effective = plan.configured * rng.uniform(0.5, 1.0, plan.configured.shape)
    found = Controller(made, second).control(
        real, wanted, plan.configured, effective=effective, planned=plan.running
    )
    assert_physical(made, real, wanted, found.dispatch, effective)
    assert found.lost == pytest.approx(lost_of(made, wanted, found.dispatch), rel=1e-9, abs=1e-9)
    assert found.bound <= found.lost + 1e-9


@MANY
@given(seed=SEEDS, dark=st.integers(0, 2), factor=st.floats(0.0, 1.2))
def test_steps_down_end_below_the_power(seed, dark, factor):
    """The emergency leaves no site above its power, also where one has lost all of it.

    Nothing is added anywhere, and a site with enough power is left alone.
    """
    made, power, demand = random_question(seed, sites=3, per_kind=6)
    plan = Planner(made).plan(power, demand)
    controller = Controller(made)
    real = power * factor
    real[dark] = 0.0
    kept = controller.shed(plan.running, real, demand)
    assert (kept >= 0).all()
    assert (kept @ made.kw <= real * (1 + 1e-9)).all()
    assert not kept[dark].any()
    assert (made.of_degree(kept.astype(float)) <= made.of_degree(plan.running.astype(float))).all()
    enough = plan.running @ made.kw <= real
    assert np.array_equal(kept[enough], plan.running[enough])
    found = controller.emergency(real, demand, plan.configured, plan.running)
    assert_physical(made, real, demand, found.dispatch)


def test_steps_down_lose_least_for_each_kw():
    """From 3 kW to 2.2.

    Slowing the clock of two instances (0.2 req/s for 0.4 kW each) loses less than switching one off
    (1 for 1 kW). To 1.5 all are slow and one of them goes.
    """
    rows = [(0, 1, 1.0, 1.0, 1.0), (0, 1, 0.8, 0.6, 1.2)]
    made = fleet(rows, [3])
    controller, running, demand = Controller(made), np.array([[3, 0]]), np.array([[9.0]])
    assert controller.shed(running, np.array([2.2]), demand).tolist() == [[1, 2]]
    assert controller.shed(running, np.array([1.8]), demand).tolist() == [[0, 3]]
    assert controller.shed(running, np.array([1.5]), demand).tolist() == [[0, 2]]
    assert controller.shed(running, np.array([0.5]), demand).tolist() == [[0, 0]]


def test_steps_down_give_up_what_nobody_needs_first():
    """Class B serves more per kW, but twice what is asked for: it is given up before class A."""
    rows = [(0, 1, 1.0, 1.0, 1.0), (1, 1, 2.0, 1.0, 1.0)]
    made = fleet(rows, [6])
    controller, running = Controller(made), np.array([[3, 2]])
    kept = controller.shed(running, np.array([4.0]), np.array([[3.0, 2.0]]))
    assert kept.tolist() == [[3, 1]]
    assert controller.shed(running, np.array([4.0]), np.array([[3.0, 4.0]])).tolist() == [[2, 2]]


def test_steps_down_keep_origins_within_reach():
    """A slower clock is no step for an instance if one of its origins is too far: it goes off.

    Where all origins reach the slower clock, it is taken.
    """
    rows = [(0, 1, 1.0, 1.0, 1.0), (0, 1, 0.9, 0.5, 1.2)]
    running, power, demand = np.array([[2, 0]]), np.array([1.5]), np.array([[1.0], [1.0]])
    for far, expected in ((False, [[1, 0]]), (True, [[1, 1]])):
        made = fleet(rows, [2], ok=[[[True, True]], [[True, far]]], origins=2)
        assert Controller(made).shed(running, power, demand).tolist() == expected


def test_another_site_takes_over():
    """Site 1 goes dark; site 2 has power and configured instances to spare and serves all of it.

    The emergency alone, site by site, loses what site 1 served.
    """
    made = fleet([(0, 1, 1.0, 1.0, 1.0)], [4, 8])
    controller, demand = Controller(made), np.array([[6.0]])
    configured, running = np.array([[4], [8]]), np.array([[4], [2]])
    dark = np.array([0.0, 8.0])
    assert controller.emergency(dark, demand, configured, running).lost == pytest.approx(4.0)
    found = controller.control(dark, demand, configured)
    assert found.lost == pytest.approx(0.0, abs=1e-9)
    assert found.dispatch.running.tolist() == [[0], [6]]


@MANY
@given(seed=SEEDS, second=st.sampled_from(["latency", "power"]))
def test_as_planned_if_all_is_as_expected(seed, second):
    """With the power and demand of the plan, Planner-S loses no more than Planner-L (T1.12).

    Its linear programme on what is configured no more than either.
    """
    made, power, demand = random_question(seed, sites=3)
    plan = Planner(made, second).plan(power, demand)
    found = Controller(made, second).control(power, demand, plan.configured, planned=plan.running)
    assert found.lost <= Sender(made).send(plan.running, demand).lost + 1e-6
    assert found.lost <= plan.lost + 1e-6
    assert plan.bound - 1e-6 <= found.bound <= found.lost + 1e-9


@MANY
@given(seed=SEEDS)
def test_more_power_serves_no_less(seed):
    """With the same instances configured and more power the bound on the loss does not rise."""
    made, power, demand = random_question(seed, sites=2)
    plan = Planner(made).plan(power, demand)
    controller = Controller(made)
    found = [controller.control(power * f, demand, plan.configured).bound for f in (0.5, 1.0, 1.5)]
    assert found[0] >= found[1] - 1e-7 >= found[2] - 2e-7


def test_loading_instances_serve_nothing():
    """Of ten configured instances six serve in the mean.

    Four of ten requests are lost, and only what can serve runs.
    """
    made = fleet([(0, 1, 1.0, 1.0, 1.0)], [10])
    configured, demand = np.array([[10]]), np.array([[10.0]])
    found = Controller(made).control(
        np.array([20.0]), demand, configured, effective=np.array([[6.0]])
    )
    assert found.lost == pytest.approx(4.0)
    assert found.dispatch.running.tolist() == [[6]]
    assert found.dispatch.configured.tolist() == [[10]]


def test_warm_instances_go_where_there_is_no_power_for_them():
    """Four warm instances need 0.8 kW; 0.5 kW feed two of them, and nothing that runs."""
    made = fleet([(0, 1, 1.0, 1.0, 1.0)], [4], idle_kw=0.2)
    controller = Controller(made)
    found = controller.control(np.array([0.5]), np.array([[4.0]]), np.array([[4]]))
    assert found.dispatch.configured.tolist() == [[2]]
    assert not found.dispatch.running.any()


def test_sending_prefers_the_nearest_and_fastest():
    """Of two sites that can serve all, the nearer one does; of two rows the faster one."""
    rows = [(0, 1, 1.0, 1.0, 5.0), (0, 1, 1.0, 1.0, 2.0)]
    made = fleet(rows, [4, 4], rtt_s=[[0.5, 0.1]])
    sent = Sender(made).send(np.array([[2, 2], [2, 2]]), np.array([[2.0]]))
    assert sent.flow[0].round(9).tolist() == [[0.0, 0.0], [0.0, 2.0]]
    sent = Sender(made).send(np.array([[2, 2], [2, 2]]), np.array([[3.0]]))
    assert sent.flow[0].round(9).tolist() == [[0.0, 1.0], [0.0, 2.0]]
    sent = Sender(made).send(np.array([[2, 2], [2, 2]]), np.array([[9.0]]))
    assert sent.lost == pytest.approx(1.0)


@MANY
@given(seed=SEEDS)
def test_sending_serves_what_whole_instances_can(seed):
    """Best flows lose no more than flows that fill the narrowest instances first.

    And no more with instances that reach farther.
    """
    made, power, demand = random_question(seed, sites=3, origins=3)
    plan = Planner(made).plan(power, demand)
    sent = Sender(made).send(plan.running, demand)
    assert sent.lost <= left_over(made, plan.running, demand) + 1e-7
    anywhere = replace(made, ok=np.broadcast_to(made.ok.any(axis=0), made.ok.shape).copy())
    assert Sender(anywhere).send(plan.running, demand).lost <= sent.lost + 1e-7


def test_header_and_instance_give_the_same_fleet():
    """A policy makes its fleet of the header, the oracle of the instance."""
    from optmodels.routing.sites.replay import header_of

    instance = toy_h1()
    one, other = Fleet.of(instance), Fleet.of(header_of(instance))
    for name in ("rate", "kw", "residence", "ok", "gpus", "weight", "degrees"):
        assert np.array_equal(getattr(one, name), getattr(other, name))
