"""The test whether a node keeps its promises: worked cases, every limit, and the lists of sets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from optmodels.placement.accelerators.columns import columns_of, may_host
from optmodels.placement.accelerators.hardware import (
    allowed_ms,
    frontend_load,
    frontend_response_ms,
)
from optmodels.placement.accelerators.response import crowd, keeps_promises, report
from tests.placement.accelerators.instances import drawn, instance

INCEPTION = ("InceptionV4", "tpu", 125.13, 19.43)
MOBILENET = ("MobileNetV2", "tpu", 4.91, 10.43)


def test_worked_case_on_an_edge_tpu() -> None:
    """InceptionV4 beside MobileNetV2: mixture and collapsed responses to the microsecond."""
    for form, expected in (("collapsed", (177.714, 41.375)), ("mixture", (177.926, 41.587))):
        inst = instance(
            [("InceptionV4", 2.073, 500), ("MobileNetV2", 16.62, 500)],
            [INCEPTION, MOBILENET],
            ["tpu"],
            second_moment=form,
        )
        found = report(inst.hardware.devices[0], inst.applications, inst.rules)
        assert found.load == pytest.approx(0.39603, abs=5e-6)
        assert found.response_ms == pytest.approx(expected, abs=2e-3)


def test_worked_case_without_switches() -> None:
    """Rates 2 and 10 per s, 100 and 20 ms: 120 and 40 ms in a queue, 166.7 and 33.3 shared."""
    wanted = [("slow", 2.0, 1000), ("fast", 10.0, 1000)]
    for device, form, expected in (
        ("tpu", "exact", (120, 40)),
        ("gpu", "exact", (500 / 3, 100 / 3)),
        ("gpu", "additive", (100 + 200 / 9, 20 + 200 / 9)),
    ):
        profiles = [("slow", device, 100.0), ("fast", device, 20.0)]
        inst = instance(wanted, profiles, [device], sharing=form, network_ms=10.0)
        found = report(inst.hardware.devices[0], inst.applications, inst.rules)
        assert found.load == pytest.approx(0.4)
        assert found.response_ms - 10 == pytest.approx(expected)


def test_applications_of_one_model_are_one_tenant() -> None:
    """Splitting an application in two of the same model changes no response.

    A test that took applications for tenants would charge switches between the two.
    """
    whole = instance(
        [("InceptionV4", 2.0, 900), ("MobileNetV2", 9.0, 900)], [INCEPTION, MOBILENET], ["tpu"]
    )
    split = instance(
        [("InceptionV4", 2.0, 900), ("MobileNetV2", 4.0, 900), ("MobileNetV2", 5.0, 900)],
        [INCEPTION, MOBILENET],
        ["tpu"],
    )
    one, two = (report(i.hardware.devices[0], i.applications, i.rules) for i in (whole, split))
    assert two.load == pytest.approx(one.load)
    assert two.response_ms == pytest.approx(one.response_ms[[0, 1, 1]])
    alone = report(split.hardware.devices[0], split.applications[1:], split.rules)
    assert alone.load == pytest.approx(0.009 * 4.91)


def test_every_limit_counts() -> None:
    """Load, front end, SLO of anybody, reserve and guard, each by itself breaks the promises."""

    def kept(apps: list[tuple[str, float, float]], front: float = 0.0, **more: float) -> bool:
        devices = [("tpu", "fcfs", front)]
        inst = instance(apps, [("m", "tpu", 10.0)], ["tpu"], devices=devices, **more)
        return keeps_promises(inst.hardware.devices[0], inst.applications, inst.rules)

    # Alone, 40 requests per s: load .4, wait 10 * .4 / 1.2, response 13.33.
    assert kept([("m", 40.0, 13.34)])
    assert not kept([("m", 40.0, 13.33)])
    assert not kept([("m", 40.0, 13.34)], reserve_share=0.01)
    assert not kept([("m", 40.0, 13.34)], network_ms=1.0)
    assert kept([("m", 40.0, 99.0)], concurrency_guard=0.54)
    assert not kept([("m", 40.0, 99.0)], concurrency_guard=0.53)
    assert kept([("m", 80.0, 99.0)])
    assert not kept([("m", 80.1, 99.0)])
    assert not kept([("m", 40.0, 99.0)], load_max=0.39)
    # A front end of 20 ms at 40 per s is at its limit, and takes 100 ms.
    assert kept([("m", 40.0, 114.0)], front=20.0)
    assert not kept([("m", 40.0, 113.0)], front=20.0)
    assert not kept([("m", 40.1, 999.0)], front=20.0)
    # Somebody else's promise counts as much: 20 ms wait for all at a load of .8.
    assert not kept([("m", 20.0, 99.0), ("m", 60.0, 29.0)])
    assert kept([("m", 20.0, 31.0), ("m", 60.0, 31.0)])


def test_front_ends_of_several_cores() -> None:
    """Two cores halve the load of a front end; its response is Erlang's."""
    inst = instance(
        [("m", 50.0, 99)],
        [("m", "tpu", 1.0)],
        ["tpu"],
        devices=[("tpu", "fcfs", 20.0)],
        frontend_cores=2,
    )
    device, application = inst.hardware.devices[0], inst.applications[0]
    assert frontend_load(device, application) == pytest.approx(0.5)
    assert frontend_response_ms(device, application) == pytest.approx(20 / (1 - 0.25))
    assert allowed_ms(device, application, inst.rules) == pytest.approx(99 - 20 / 0.75)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "forms", [{}, {"second_moment": "collapsed", "sharing": "additive"}, {"concurrency_guard": 0.5}]
)
def test_listed_sets_are_those_that_keep_promises(seed: int, forms: dict[str, object]) -> None:
    """The lists with their safe parts are exactly the subsets that pass the test one by one.

    Pruning by a response that is too long *now* would lose the sets that more requests of the same
    model make feasible again; a wrong rule of dominance would lose parts or invent them.
    """
    inst = drawn(seed, apps=7, **forms)
    hardware, applications = inst.hardware, inst.applications
    columns = columns_of(hardware, applications)
    assert columns.complete
    kind = {a.name: k for k, group in enumerate(columns.kinds) for a in group.members}
    for c, group in enumerate(columns.classes):
        node = group.example
        expected = set()
        for mask in range(1, 2 ** len(applications)):
            hosted = [a for i, a in enumerate(applications) if mask >> i & 1]
            if hardware.has_room(node, hosted) and keeps_promises(
                hardware.device(node), hosted, hardware.rules
            ):
                counts = np.bincount([kind[a.name] for a in hosted], minlength=len(columns.kinds))
                expected.add(tuple(counts.tolist()))
        listed = columns.counts[columns.class_of == c]
        safe = columns.safe[columns.class_of == c]
        found = {tuple(row) for row in listed.tolist()}
        for row in listed[safe]:
            ranges = [range(n + 1) for n in row]
            found |= {
                tuple(int(v) for v in part)
                for part in np.array(np.meshgrid(*ranges)).reshape(len(row), -1).T
                if any(part)
            }
        assert found == expected


def test_more_requests_of_its_model_may_keep_a_promise() -> None:
    """A set whose part is no column: found only if a broken promise does not end the search."""
    inst = instance(
        [("other", 20.0, 100.0), ("m", 1.0, 10.0), ("m", 60.0, 10.0)],
        [("m", "tpu", 1.0, 10.0), ("other", "tpu", 1.0, 0.0)],
        ["tpu"],
    )
    device, rules = inst.hardware.devices[0], inst.rules
    other, few, many = inst.applications
    assert not keeps_promises(device, [other, few], rules)
    assert keeps_promises(device, [other, few, many], rules)
    columns = columns_of(inst.hardware, inst.applications)
    assert [1, 1, 1] in columns.counts.tolist()
    assert [1, 1, 0] not in columns.counts.tolist()
    whole = columns.counts.tolist().index([1, 1, 1])
    assert not columns.safe[whole]


def test_nobody_who_could_be_hosted_is_left_out() -> None:
    """What no company can help is told apart from what other company could."""
    inst = instance(
        [("m", 10.0, 20.0), ("m", 10.0, 9.0), ("big", 1.0, 99.0), ("gone", 1.0, 99.0)],
        [("m", "tpu", 10.0), ("big", "tpu", 1.0, 0.0, 900.0), ("gone", "gpu", 1.0)],
        ["tpu"],
        devices=[("tpu", "fcfs", 0.0), ("gpu", "ps", 0.0)],
    )
    assert [may_host(inst.hardware, 0, a) for a in inst.applications] == [True, False, False, False]


def test_an_idle_model_is_no_company() -> None:
    """Loads and responses of sets at once equal those one by one, absent models included."""
    inst = drawn(3)
    device = inst.hardware.devices[-1]
    models = np.array([0, 1, 2])
    rates = np.array([[0.001, 0.0, 0.004], [0.002, 0.003, 0.0]])
    both = crowd(device, rates, models, inst.rules)
    for row in range(2):
        used = models[rates[row] > 0]
        one = crowd(device, rates[row : row + 1, used], used, inst.rules)
        assert one.load[0] == pytest.approx(both.load[row])
        assert one.response_ms[0] == pytest.approx(both.response_ms[row, used])


def test_promises_are_monotone_in_what_is_promised() -> None:
    """A longer SLO or a higher limit on the load never breaks a promise that was kept."""
    for seed in range(5):
        inst = drawn(seed, apps=3)
        device = inst.hardware.devices[0]
        if not keeps_promises(device, inst.applications, inst.rules):
            continue
        longer = [replace(a, slo_ms=a.slo_ms * 1.1) for a in inst.applications]
        assert keeps_promises(device, longer, inst.rules)
        assert keeps_promises(device, inst.applications, replace(inst.rules, load_max=0.9))
