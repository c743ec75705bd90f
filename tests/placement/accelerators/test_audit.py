"""The audit: what is lost, by hand; what cannot be run; and instances that are refused."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from optmodels.errors import InputError
from optmodels.placement.accelerators.audit import audit
from tests.placement.accelerators.instances import drawn, instance

# One accelerator: two requests streams of 10 ms fit, three do not.
THREE = instance(
    [("m", 10.0, 12.0), ("m", 10.0, 12.0), ("m", 30.0, 99.0)],
    [("m", "tpu", 10.0, 0.0, 300.0)],
    ["tpu", "tpu"],
    values=[1.0, 2.0, 4.0],
    frontend_mb=100.0,
)


def placed(**nodes: str) -> dict[str, pd.DataFrame]:
    """Tables of a placement: application -> node."""
    return {"placement": pd.DataFrame({"app": list(nodes), "node": list(nodes.values())})}


def test_what_is_lost_is_who_is_rejected_and_who_is_spoilt() -> None:
    """Values by hand: nobody placed, one rejected, one node whose promises are broken."""
    found = audit(THREE, placed())
    assert found.ok and found.cost.total == found.cost["rejected"] == 7
    names = ("hosted", "kept", "late", "nodes_used", "mean_response_ms")
    assert [found.cost[name] for name in names] == [0] * 5
    found = audit(THREE, placed(a0="n0", a2="n1"))
    assert (found.cost["rejected"], found.cost["spoilt"]) == (2, 0)
    assert found.cost["mean_response_ms"] == pytest.approx(
        (10 * (10 + 1 / 1.8) + 30 * (10 + 3 / 1.4)) / 40
    )
    # With the busy one a0 waits 4 / 1.2 ms: its node is worth nothing, a1 is not on it.
    found = audit(THREE, placed(a0="n0", a2="n0", a1="n1"))
    assert (found.cost["rejected"], found.cost["spoilt"]) == (0, 5)
    names = ("hosted", "kept", "late", "nodes_used")
    assert tuple(found.cost[name] for name in names) == (3, 1, 1, 2)
    assert found.ok


def test_memory_is_a_hard_limit_and_counts_a_model_once() -> None:
    """One model of 300 MB and 100 MB for each front end: five fit in 800 MB, six do not."""
    for count, ok in ((5, True), (6, False)):
        inst = instance(
            [("m", 1.0, 99.0)] * count, [("m", "tpu", 1.0, 0.0, 300.0)], ["tpu"], frontend_mb=100.0
        )
        found = audit(inst, placed(**{f"a{i}": "n0" for i in range(count)}))
        assert found.ok == ok
    assert str(found.violations[0]) == "memory of a node [MB] at n0: 900 (allowed: at most 800)"


@pytest.mark.parametrize(
    ("tables", "limit"),
    [
        ({}, "column 'app'"),
        ({"placement": pd.DataFrame({"app": ["a0"]})}, "column 'node'"),
        (placed(a9="n0"), "app of table"),
        (placed(a0="n7"), "node of table"),
        (
            {"placement": pd.DataFrame({"app": ["a0", "a0"], "node": ["n0", "n1"]})},
            "one row per application",
        ),
        ({"placement": pd.DataFrame({"app": [None, "a0"], "node": ["n0", 3.5]})}, "app of table"),
    ],
)
def test_rows_that_mean_nothing_are_violations(tables: dict[str, Any], limit: str) -> None:
    """Unknown names, repeats and missing columns are named; no foreign error comes out."""
    found = audit(THREE, tables)
    assert not found.ok
    assert found.violations[0].limit.startswith(limit)


def test_violations_say_which_row() -> None:
    """Rows are counted from 1; an application that is named twice counts where it stands first."""
    table = pd.DataFrame({"app": ["a0", "a0", "a1", "a9"], "node": ["n0", "n1", "n7", "n0"]})
    found = audit(THREE, {"placement": table})
    assert [(v.limit, v.where, v.value) for v in found.violations] == [
        ("one row per application", "a0", 2),
        ("node of table 'placement'", "row 3", 3),
        ("app of table 'placement'", "row 4", 4),
    ]
    assert (found.cost["hosted"], found.cost["rejected"]) == (1, 6)


def test_a_model_runs_only_where_it_has_a_profile() -> None:
    """A node of a kind without the model is a violation, not a number."""
    inst = instance([("m", 1.0, 99.0)], [("m", "tpu", 1.0), ("other", "gpu", 1.0)], ["tpu", "gpu"])
    found = audit(inst, placed(a0="n1"))
    assert found.violations[0].limit == "model of an application"


def flaws(**changes: Any) -> list[str]:
    """What is wrong with an instance after changes."""
    with pytest.raises(InputError) as caught:
        drawn(0).replace(**changes)
    return [str(flaw) for flaw in caught.value.flaws]


def test_instances_that_contradict_themselves_are_refused() -> None:
    """Unknown models and devices, arrivals taken twice, useless switches: all told together."""
    tables = drawn(0).tables
    apps = tables["apps"].assign(arrival=1)
    apps.loc[0, "model"] = "nobody"
    nodes = tables["nodes"].assign(device="abacus")
    profiles = tables["profiles"].assign(switch_ms=3.0)
    found = "\n".join(flaws(apps=apps, nodes=nodes, profiles=profiles))
    for words in (
        "has no profile on any device",
        "is the arrival of an earlier row",
        "is not a device",
        "is not used",
    ):
        assert words in found
    devices = tables["devices"].assign(discipline="lifo")
    assert "fcfs, ps" in flaws(devices=devices)[0]
    assert len(flaws(load_max=1.0, network_ms=-1.0)) == 2


def test_round_trip(tmp_path: Any) -> None:
    """Saved and loaded nothing changes, arrivals keep their order, and copies are equal."""
    inst = drawn(4)
    inst.save(tmp_path / "x")
    again = type(inst).load(tmp_path / "x")
    assert again == inst
    assert again.applications == inst.applications
    turned = inst.replace(apps=inst.tables["apps"].assign(arrival=[6, 5, 4, 3, 2, 1]))
    assert turned.applications == inst.applications[::-1]
