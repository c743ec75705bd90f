"""The audit by hand: times, lost service and figures of a small plan; every limit can be broken."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from optmodels.ensembles.failover.audit import audit, room_left
from optmodels.ensembles.failover.instance import FailoverInstance
from optmodels.ensembles.failover.plan_tables import read_warm
from tests.ensembles.failover.instances import build, golden

Tables = dict[str, pd.DataFrame]


def tables(warm: list[tuple[str, str, str]], recovery: list[tuple[Any, ...]]) -> Tables:
    """Tables of a plan."""
    return {
        "warm": pd.DataFrame(warm, columns=["application", "model", "server"]),
        "recovery": pd.DataFrame(
            recovery,
            columns=[
                *("scenario", "application", "server", "first_model", "model"),
                *("turn", "upgrade_turn"),
            ],
        ),
    }


#: B is warm; A loads 20 MB first and D 30 MB after it, then A's 60 MB; C is lost.
PLAN = (
    [("B", "B40", "s2")],
    [("s0", "A", "s1", "A20", "A60", 1, 3), ("s0", "D", "s1", "D30", "D30", 2, 0)],
)


def by_hand(loading: str) -> FailoverInstance:
    """The golden case with a known timeline: 15 + 7 + 5 + 10 ms without loading."""
    return golden(
        heartbeat_ms=10.0, grace_ms=7.0, loading=loading, horizon_s=2.0, headroom=0.0
    ).replace(servers=golden().tables["servers"].assign(memory_mb=[190.0, 190.0, 190.0]))


def test_serial_timeline_by_hand() -> None:
    """Loads wait for those before them; T ends with the first variant, the full time with the last.

    Loading takes 300 ms + MB. Detection: 1.5 x 10 + 7 ms; planning 5, switching 10. A: 320, then D:
    330 after it, then A's upgrade: 360. Failures of s0, s1, s2 have probability 1/3 each.
    """
    found = audit(by_hand("serial"), tables(*PLAN))
    assert found.ok, found.violations
    a, a_full, d, b = 37.0 + 320, 37.0 + 320 + 330 + 360, 37.0 + 650, 32.0
    lost_a = a + (1 - 0.70 / 0.80) * (a_full - a) + (1 - 0.76 / 0.80) * (2000 - a_full)
    lost_b = b + (1 - 0.75 / 0.78) * (2000 - b)
    total = (lost_a + d + lost_b + 2000) / 3 / 1000
    cost = found.cost
    assert cost.total == pytest.approx(total, rel=1e-12)
    assert cost["unrecovered_s"] == pytest.approx(2 / 3)
    assert cost["down_s"] == pytest.approx((a + d + b) / 3000)
    assert cost["recovery_rate"] == pytest.approx(3 / 4)
    assert cost["mttr_ms"] == pytest.approx((a + d + b) / 3)
    assert cost["full_ms"] == pytest.approx((a_full + d + b) / 3)
    drops = [1 - 0.76 / 0.80, 0.0, 1 - 0.75 / 0.78]
    assert cost["accuracy_drop"] == pytest.approx(sum(drops) / 3)
    assert cost["accuracy_drop_points"] == pytest.approx(100 * (0.04 + 0.03) / 3)
    assert cost["accuracy_drop_all"] == pytest.approx((sum(drops) + 1) / 4)
    assert cost["warm_mb"] == 40
    assert cost["warm_overhead"] == pytest.approx(40 / 330)
    assert cost["warm_value"] == pytest.approx(0.75 / 0.78)


def test_parallel_timeline_by_hand() -> None:
    """Nobody waits for anybody: I8, parallel loading is never slower."""
    cost = audit(by_hand("parallel"), tables(*PLAN)).cost
    assert cost["mttr_ms"] == pytest.approx((37 + 320 + 37 + 330 + 32) / 3)
    assert cost["full_ms"] == pytest.approx((37 + 320 + 360 + 37 + 330 + 32) / 3)
    assert cost["mttr_ms"] <= audit(by_hand("serial"), tables(*PLAN)).cost["mttr_ms"]


def test_times_are_cut_at_the_horizon() -> None:
    """What happens after the horizon costs no more than being down until then."""
    instance = by_hand("serial").replace(horizon_s=0.3)
    cost = audit(instance, tables(*PLAN)).cost
    b = 32 + (1 - 0.75 / 0.78) * 268
    assert cost.total == pytest.approx((300 + 300 + b + 300) / 3000)


def test_pooling_is_by_applications_and_probabilities() -> None:
    """MTTR is a mean over applications, not of the means of failures; weights are normalised."""
    instance = build(
        {"A": (0, [(10.0, 0.9)]), "B": (0, [(10.0, 0.9)]), "C": (1, [(20.0, 0.9)])},
        {0: 50.0, 1: 50.0},
        site_rule=False,
        scenarios=[("x", 0, 1.0), ("y", 1, 3.0)],
    )
    rows = [
        ("x", "A", "s1", "A10", "A10", 1, 0),
        ("x", "B", "s1", "B10", "B10", 2, 0),
        ("y", "C", "s0", "C20", "C20", 1, 0),
    ]
    cost = audit(instance, tables([], rows)).cost
    base = 30 + 5 + 10
    up = np.array([base + 310, base + 620, base + 320])
    assert cost["mttr_ms"] == pytest.approx(up @ [1, 1, 3] / 5)
    assert cost.total == pytest.approx(up @ [1, 1, 3] / 4 / 1000)


def test_nothing_fails_and_nothing_is_averaged() -> None:
    """I14: where no application fails the recovery rate is not 0 and not 1 but missing."""
    instance = build({"A": (0, [(10.0, 0.9)])}, {0: 50.0, 1: 50.0}, scenarios=[("x", 1, 1.0)])
    cost = audit(instance, tables([], [])).cost
    assert cost.total == 0
    assert not {"recovery_rate", "mttr_ms", "accuracy_drop"} & set(cost)
    lost = audit(golden(), tables([], [])).cost
    assert lost["recovery_rate"] == 0
    assert lost["accuracy_drop_all"] == 1
    assert "mttr_ms" not in lost


GOOD = ("s0", "A", "s1", "A20", "A20", 1, 0)


@pytest.mark.parametrize(
    ("warm", "recovery", "limit"),
    [
        ([("A", "A20", "s0")], [], "beside its primary"),
        ([("A", "B40", "s1")], [], "model of table"),
        ([("Z", "A20", "s1")], [], "application of table"),
        ([("A", "A20", "s9")], [], "server of table"),
        ([("A", "A20", "s1"), ("A", "A20", "s2")], [], "one warm backup"),
        ([("A", "A60", "s1")], [], "memory of warm"),
        ([], [("s0", "A", "s0", "A20", "A20", 1, 0)], "recovery"),
        ([], [("s1", "A", "s2", "A20", "A20", 1, 0)], "recovery"),
        ([("A", "A20", "s2")], [GOOD], "recovery"),
        ([], [GOOD, GOOD], "one recovery"),
        ([], [GOOD, ("s0", "D", "s1", "D15", "D15", 1, 0)], "turn"),
        ([], [("s0", "A", "s1", "A20", "A20", 0, 0)], "turn"),
        ([], [("s0", "A", "s1", "A20", "A20", 1.5, 0)], "turn"),
        ([], [("s0", "A", "s1", "A20", "A60", 1, 0)], "upgrade turn"),
        ([], [("s0", "A", "s1", "A20", "A20", 1, 2)], "upgrade turn"),
        ([], [("xx", "A", "s1", "A20", "A20", 1, 0)], "scenario"),
        ([], [("s0", "A", "s1", "C50", "A20", 1, 2)], "model of table"),
        ([], [("s0", "A", "s1", "A60", "A60", 1, 0)], "memory in a failure"),
        # Either fits by itself into 70 MB, but not both for a moment.
        ([], [("s0", "A", "s2", "A20", "A60", 1, 2)], "memory in a failure"),
        ([("B", "B40", "s2")], [("s0", "A", "s2", "A60", "A60", 1, 0)], "memory in a failure"),
    ],
)
def test_every_limit_can_be_broken(
    warm: list[tuple[str, str, str]], recovery: list[tuple[Any, ...]], limit: str
) -> None:
    """Each fault is found and named; a sound neighbour of it is not."""
    assert audit(golden(), tables([], [GOOD])).ok
    found = audit(golden(), tables(warm, recovery))
    assert any(limit in violation.limit for violation in found.violations), found.violations
    assert np.isfinite(found.cost.total)


def test_missing_columns_and_tables_are_violations() -> None:
    """A plan without tables, or with a column twice, is told so."""
    assert len(audit(golden(), {}).violations) == 10
    twice = tables([], [GOOD])
    twice["warm"] = pd.concat([twice["warm"], twice["warm"]], axis=1)
    assert len(audit(golden(), twice).violations) == 3


def test_site_rule_latency_and_compute() -> None:
    """Backups at home's site, too far away, or too busy; multiplexed compute is by failure."""
    applications = {"A": (0, [(10.0, 0.9)]), "B": (1, [(10.0, 0.9)]), "C": (2, [(1.0, 0.9)])}
    free = {0: 50.0, 1: 50.0, 2: 50.0}
    sites = {0: "x", 1: "x", 2: "y"}
    same = build(applications, free, sites=sites)
    assert "site rule" in str(audit(same, tables([("A", "A10", "s1")], [])).violations)
    assert audit(same, tables([("A", "A10", "s2")], [])).ok
    trips = {(a, k): 150.0 if (a, k) == ("A", 2) else 1.0 for a in "ABC" for k in range(3)}
    far = build(applications, free, sites=sites, network=trips)
    assert "latency" in str(audit(far, tables([("A", "A10", "s2")], [])).violations)
    loaded = tables([], [("s0", "A", "s2", "A10", "A10", 1, 0)])
    assert "latency" in str(audit(far, loaded).violations)
    # 10 MB need 10 GFLOP/s, of which s2 has 15 beside its own primary.
    both = tables([("A", "A10", "s2"), ("B", "B10", "s2")], [])
    busy = build(applications, free, sites=sites, gflop=1.0, compute=16.0)
    assert "compute of warm" in str(audit(busy, both).violations)
    assert audit(busy.replace(multiplexed_compute=True), both).ok
    # Where B stays up its warm backup takes no compute, of which 15 are left to the last.
    shared = busy.replace(multiplexed_compute=True)
    warm, _ = read_warm(shared, both)
    assert room_left(shared, warm, shared.failures[0])[1].tolist() == [0.0, 6.0, 5.0]
    # When the whole site fails both are needed at once.
    site = busy.replace(multiplexed_compute=True, scope="sites")
    assert "compute in a failure" in str(audit(site, both).violations)


def test_rows_that_load_nothing_cost_nothing() -> None:
    """Who has not failed, or has a warm backup that is up, loads nothing: told, and not counted."""
    for warm, odd in (
        ([], ("s1", "A", "s2", "A20", "A20", 1, 0)),
        ([("A", "A20", "s2")], GOOD),
    ):
        whole = audit(golden(), tables(warm, [])).cost
        found = audit(golden(), tables(warm, [odd]))
        assert [v.limit for v in found.violations] == ["recovery"]
        assert found.cost == whole


def test_latency_is_the_way_and_the_work() -> None:
    """150 ms to the server and the time of the model there are what the limit is held against."""
    applications = {"A": (0, [(10.0, 0.9)]), "B": (1, [(10.0, 0.9)])}
    trips = {(a, k): 150.0 if k == 1 else 1.0 for a in "AB" for k in range(2)}
    far = build(applications, {0: 50.0, 1: 50.0}, sites={0: "x", 1: "y"}, network=trips)
    (late,) = audit(far, tables([("A", "A10", "s1")], [])).violations
    assert late.where == "a warm backup: A on s1"
    assert late.value == 150 + far.candidates.inference_ms[0]
    assert far.candidates.inference_ms[0] > 0
