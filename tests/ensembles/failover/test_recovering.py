"""Recovery at the moment of a failure: room, choice, order; and policies over whole instances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.comparison import run
from optmodels.ensembles.failover import POLICIES, synthetic
from optmodels.ensembles.failover.actions import NONE, Warm, no_recovery, no_warm
from optmodels.ensembles.failover.audit import outcome, recovery_violations
from optmodels.ensembles.failover.figures import timeline
from optmodels.ensembles.failover.headroom import (
    choose_headroom,
    headroom_table,
    least_headroom,
    simulated,
)
from optmodels.ensembles.failover.instance import FailoverInstance
from optmodels.ensembles.failover.plan_tables import read_warm
from optmodels.ensembles.failover.policies import (
    FailLite,
    FailLiteNoProgress,
    FullCold,
    SmallColdProgressive,
)
from optmodels.ensembles.failover.recovering import choose, plain, progressive
from optmodels.ensembles.failover.replay import FailoverEnvironment, room_of
from optmodels.ensembles.failover.timeline import loading
from optmodels.errors import UsageError
from tests.ensembles.failover.instances import golden
from tests.ensembles.failover.test_warm_backups import small_instances


@settings(deadline=None, derandomize=True, max_examples=60)
@given(instance=small_instances(), loading=st.sampled_from(["serial", "parallel"]))
def test_recoveries_never_overcommit_and_progress_never_hurts(
    instance: FailoverInstance, loading: str
) -> None:
    """I1, I7, I9: room is kept in every state; small ones first bring everybody back no later.

    With parallel loading that holds for each application, with one queue per server for their
    weighted mean. Catches a first replica that is not counted while the larger one is loaded, and
    an order that puts long loadings first.
    """
    instance = instance.replace(loading=loading)
    warm = no_warm(len(instance.applications))
    for failure in instance.failures:
        room = room_of(instance, warm, failure)
        choice = choose(instance, room)
        at_once, staged = plain(choice), progressive(instance, choice, room)
        for recovery in (at_once, staged):
            assert recovery_violations(instance, warm, failure, recovery) == []
        one = outcome(instance, warm, failure, at_once)
        two = outcome(instance, warm, failure, staged)
        assert (one.candidate == two.candidate).all()
        assert (one.up_ms >= instance.warm_ms).all()
        served = one.recovered
        assert (two.final_ms >= two.up_ms).all()
        if loading == "parallel":
            assert (two.up_ms[served] <= one.up_ms[served] + 1e-9).all()
            assert (two.final_ms[served] >= one.up_ms[served] - 1e-9).all()
        weight = instance.weight[failure.failed]
        before, after = weight[served] @ one.up_ms[served], weight[served] @ two.up_ms[served]
        assert after <= before + 1e-6


@settings(deadline=None, derandomize=True, max_examples=12)
@given(instance=small_instances())
def test_every_policy_on_every_instance(instance: FailoverInstance) -> None:
    """All policies make sound plans; full size loses no accuracy (I10), times are T's (I7)."""
    for name in POLICIES:
        plan = run(instance, POLICIES[name]())
        frame = timeline(instance, plan)
        served = frame[frame["way"] != "lost"]
        assert (served["accuracy_drop"] >= -1e-12).all()
        if name.startswith("full"):
            assert (served["accuracy_drop"].abs() <= 1e-12).all()
        warm = served["way"] == "warm"
        assert (served.loc[warm, "up_ms"] == instance.warm_ms).all()
        assert (served.loc[~warm, "up_ms"] >= instance.cold_ms).all()
        assert (frame.loc[frame["way"] == "lost", "lost_s"] == instance.horizon_ms / 1000).all()


@pytest.fixture(scope="module")
def cluster() -> FailoverInstance:
    """A cluster in which memory is scarce."""
    return synthetic.generate(1, servers=6, sites=3, applications=30, headroom=0.3)


def test_parts_of_policies(cluster: FailoverInstance) -> None:
    """I11 to I13: the warm part alone recovers no more; no warm backups at full headroom."""
    plans = {name: run(cluster, POLICIES[name]()) for name in POLICIES}
    both = plans["full-warm-cold"]
    warm, _ = read_warm(cluster, both.tables)
    part = simulated(cluster, warm, lambda told, room: no_recovery())
    assert both.cost["recovery_rate"] >= part["recovery_rate"]
    full = run(cluster.replace(headroom=1.0), FailLite())
    assert full.tables["warm"].empty
    cold = run(cluster, SmallColdProgressive())
    assert full.cost.total == pytest.approx(cold.cost.total)
    applications = cluster.tables["applications"].assign(critical=False)
    nobody = cluster.replace(applications=applications)
    assert run(nobody, FailLite()).cost.columns == run(nobody, SmallColdProgressive()).cost.columns
    again = run(cluster, FailLite())
    assert again.cost.columns == plans["faillite"].cost.columns
    # What is loaded and where does not depend on the order in which it is loaded.
    slow = plans["faillite-noprog"].cost
    assert slow["recovery_rate"] == plans["faillite"].cost["recovery_rate"]
    assert slow["accuracy_drop"] == pytest.approx(plans["faillite"].cost["accuracy_drop"])
    assert slow["mttr_ms"] >= plans["faillite"].cost["mttr_ms"]


def test_everything_is_of_full_size_where_there_is_room() -> None:
    """With room for all primaries the heuristic loads primaries; without, it shrinks."""
    roomy = golden().replace(
        servers=golden().tables["servers"].assign(memory_mb=[400.0, 400.0, 400.0])
    )
    nothing = no_warm(4)
    for failure in roomy.failures:
        choice = choose(roomy, room_of(roomy, nothing, failure))
        assert (choice.target == roomy.candidates.primary[choice.application]).all()
    tight = golden()
    room = room_of(tight, nothing, tight.failures[0])
    choice = choose(tight, room)
    names = [tight.candidates.names[j] for j in tight.candidates.model[choice.target]]
    # 125 MB are free for 130 MB: A is wanted at 96 % of its size and gets 60 MB on s2, D its 30.
    assert sorted(names) == ["A60", "D30"]
    assert len(choose(tight, room, shrink=False).application) == 1


def test_smith_order_by_hand() -> None:
    """Short and heavy ones first: the weighted sum of waiting is the least of all orders."""
    from itertools import permutations

    from optmodels.ensembles.failover.recovering import Choice, in_turns

    instance = synthetic.generate(2, servers=3, sites=3, applications=6, critical_weight=3.0)
    target = instance.candidates.primary
    choice = Choice(np.arange(6), target, np.zeros(6, dtype=np.int64))
    recovery = in_turns(instance, choice, target)
    load, weight = instance.candidates.load_ms[target], instance.weight

    def waiting(order: np.ndarray) -> float:
        return float(weight[order] @ np.cumsum(load[order]))

    best = min(waiting(np.array(order)) for order in permutations(range(6)))
    assert waiting(np.argsort(recovery.turn)) == pytest.approx(best)


def test_headroom_is_found(cluster: FailoverInstance) -> None:
    """The share with the most recovered, and of these the soonest; the table agrees."""
    table = headroom_table(cluster)
    found = choose_headroom(cluster)
    rates = table.set_index("headroom")["recovery_rate"]
    assert found.cost["recovery_rate"] == pytest.approx(rates.max())
    best = table[table["recovery_rate"] >= rates.max() - 1e-9]
    assert found.cost["mttr_ms"] == pytest.approx(best["mttr_ms"].min())
    # Nothing warm at all is one of the choices.
    nothing = run(cluster, SmallColdProgressive()).cost
    assert found.cost["recovery_rate"] >= nothing["recovery_rate"] - 1e-9
    assert table["warm_mb"].is_monotonic_decreasing
    assert 0 <= least_headroom(cluster) < 1
    for shares in ((), (0.5, 0.1), (0.0, 2.0)):
        with pytest.raises(UsageError):
            choose_headroom(cluster, shares)


def test_answers_that_break_limits_are_refused() -> None:
    """An environment takes no action of a wrong kind, size or place, and none after the end."""
    instance = golden()
    for action in (
        "nothing",
        Warm(np.zeros(2, dtype=int), np.zeros(2, dtype=int)),
        Warm(np.full(4, 99), np.zeros(4, dtype=int)),
        Warm(np.array([0, NONE, NONE, NONE]), np.array([0, NONE, NONE, NONE])),
    ):
        with pytest.raises(UsageError):
            FailoverEnvironment(instance).act(action)
    environment = FailoverEnvironment(instance)
    environment.act(no_warm(4))
    room = room_of(instance, no_warm(4), instance.failures[0])
    good = FullCold().recover(instance, room)
    from dataclasses import replace

    for action in (
        None,
        replace(good, server=good.server * 0),
        replace(good, target=good.target + 5),
        replace(good, application=good.application[:0]),
    ):
        with pytest.raises(UsageError):
            environment.act(action)
    for _ in range(3):
        environment.act(no_recovery())
    assert environment.observe() is None
    with pytest.raises(UsageError, match="after the last"):
        environment.act(no_recovery())


def test_noprog_is_a_faillite_with_a_headroom() -> None:
    """Parameters of policies: a headroom of one's own changes the warm backups."""
    instance = golden(critical="ABCD")
    wide, narrow = run(instance, FailLiteNoProgress()), run(instance, FailLite(headroom=0.8))
    assert len(wide.tables["warm"]) == 4
    assert len(narrow.tables["warm"]) == 2


def test_upgrades_in_a_queue_do_not_overlap_by_rounding() -> None:
    """One upgrade ends when the next begins: never two small replicas too many for an instant.

    Catches a beginning that is computed as the end less the time, which differs in the last digit.
    """
    instance = synthetic.generate(0, servers=10, sites=2, free_share=0.5, scope="sites")
    for seed_headroom in (0.0, 0.1, 0.5):
        plan = run(instance, FailLite(headroom=seed_headroom))
        assert plan.audit.ok
    odd = synthetic.generate(5, servers=3, sites=3, applications=9, preset="a2_onnx_first_read")
    for failure in odd.failures:
        room = room_of(odd, no_warm(9), failure)
        recovery = progressive(odd, choose(odd, room), room)
        times = loading(odd, recovery)
        ends = np.sort(np.concatenate([times.first_end, times.last_end]))
        for begin in times.last_begin[recovery.upgrade_turn > 0]:
            assert begin in ends
