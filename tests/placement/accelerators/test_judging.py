"""The judge: near the formulas where these hold, deaf to them where they do not."""

from __future__ import annotations

import time

import numpy as np
import pytest

from optmodels.errors import UsageError
from optmodels.placement.accelerators import judge
from optmodels.placement.accelerators.response import report
from tests.placement.accelerators.instances import instance


def crowded(device: str, **more: object):  # type: ignore[no-untyped-def]
    """Three applications of two models at a load of about .6, with front ends of 15 ms."""
    switch = 12.0 if device == "tpu" else 0.0
    return instance(
        [("a", 12.0, 100.0), ("b", 4.0, 200.0), ("a", 6.0, 60.0)],
        [("a", device, 12.0, switch), ("b", device, 50.0, switch)],
        [device],
        devices=[("tpu", "fcfs", 15.0), ("gpu", "ps", 15.0)],
        network_ms=10.0,
        **more,
    )


@pytest.mark.parametrize(("device", "requests"), [("tpu", 150_000), ("gpu", 150_000)])
def test_means_are_those_of_the_formulas(device: str, requests: int) -> None:
    """Every application within 6 %: network, front end and accelerator in a row."""
    inst = crowded(device)
    promised = report(inst.hardware.devices[0], inst.applications, inst.rules)
    assert 0.4 < promised.load <= 0.7
    found = judge(inst, (inst.applications,), requests=requests, seed=1).frame
    assert found["mean_ms"].to_numpy() == pytest.approx(promised.response_ms, rel=0.06)
    assert (found["error_ms"] < 0.03 * found["mean_ms"]).all()


def test_the_judge_does_not_believe_the_formula() -> None:
    """Collapsed moments promise 26 ms where requests measure 31: the promise is seen broken."""
    inst = instance(
        [("a", 20.0, 28.0), ("b", 20.0, 28.0)],
        [("a", "tpu", 5.0, 20.0), ("b", "tpu", 5.0, 20.0)],
        ["tpu"],
        second_moment="collapsed",
    )
    assert report(inst.hardware.devices[0], inst.applications, inst.rules).ok
    found = judge(inst, (inst.applications,), requests=200_000)
    assert (found.kept, found.late, found.surely_kept, found.surely_late) == (0, 2, 0, 2)


def test_one_late_application_spoils_its_node() -> None:
    """Kept is counted by node; nodes do not disturb each other."""
    inst = instance(
        [("a", 10.0, 11.0), ("a", 10.0, 200.0), ("a", 10.0, 200.0)],
        [("a", "tpu", 10.0)],
        ["tpu", "tpu"],
    )
    first, second, third = inst.applications
    found = judge(inst, ((first, second), (third,)), requests=20_000)
    assert (found.hosted, found.kept, found.late) == (3, 1, 1)
    frame = found.frame.set_index("app")
    assert frame["kept"].tolist() == [False, False, True]
    assert frame.loc["a2", "node"] == "n1"


def test_overload_never_ends() -> None:
    """More work than time, at the accelerator or a front end: infinite, without simulating."""
    for front in (0.0, 101.0):
        rate = 101.0 if front == 0 else 10.0
        inst = instance(
            [("a", rate, 1e6)], [("a", "tpu", 10.0)], ["tpu"], devices=[("tpu", "fcfs", front)]
        )
        found = judge(inst, (inst.applications,), requests=1000)
        assert np.isinf(found.frame["mean_ms"]).all()
        assert found.surely_late == 1


def test_a_node_is_judged_alike_in_every_placement() -> None:
    """Verdicts depend on seed and content: not on the node's number, nor on the order there."""
    inst = instance([("a", 10.0, 50.0)] * 3, [("a", "tpu", 10.0)], ["tpu", "tpu"])
    one, two, three = inst.applications
    left = judge(inst, ((one, two), (three,)), requests=5000).frame.set_index("app")
    right = judge(inst, ((three,), (two, one)), requests=5000).frame.set_index("app")
    assert left["mean_ms"].sort_index().tolist() == right["mean_ms"].sort_index().tolist()
    other = judge(inst, ((one, two), (three,)), requests=5000, seed=1).frame
    assert (other["mean_ms"] != left["mean_ms"].to_numpy()).all()


def test_variation_is_simulated() -> None:
    """Exponential services wait twice as long as constant ones."""
    waits = []
    for variation in (0.0, 1.0):
        inst = instance([("a", 50.0, 99.0)], [("a", "tpu", 10.0, 0.0, 0.0, variation)], ["tpu"])
        frame = judge(inst, (inst.applications,), requests=400_000).frame
        waits.append(frame["mean_ms"].iloc[0] - 10)
    assert waits[1] == pytest.approx(2 * waits[0], rel=0.06)
    assert waits[0] == pytest.approx(5, rel=0.04)


def test_errors_cover_the_truth() -> None:
    """Over 30 seeds the true mean lies within two standard errors about 19 times in 20."""
    inst = instance([("a", 60.0, 99.0)], [("a", "tpu", 10.0)], ["tpu"])
    outside = 0
    for seed in range(30):
        row = judge(inst, (inst.applications,), requests=40_000, seed=seed).frame.iloc[0]
        outside += abs(row["mean_ms"] - 17.5) > 2 * row["error_ms"]
    assert outside <= 5


def test_a_million_requests_take_seconds() -> None:
    """The whole way of half a million requests over a shared accelerator, in processor time."""
    inst = crowded("gpu")
    started = time.process_time()
    judge(inst, (inst.applications,), requests=500_000, seed=9)
    assert time.process_time() - started < 10
    with pytest.raises(UsageError):
        judge(inst, (inst.applications,), requests=10)
