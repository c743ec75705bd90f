"""The audit: a small plan by hand, and where and by how much each limit is broken."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from optmodels.placement.edge.audit import TOLERANCE, audit, read_placement, tables_of
from optmodels.placement.edge.instance import EdgeInstance
from tests.placement.edge.instances import changed, toy, with_parameters

#: One a1 stays at s1, one goes to s2 beside a2 on another server; one a1 and a3 are left out.
ROWS = (("a1", "s1", 1, 1), ("a1", "s2", 1, 1), ("a2", "s2", 2, 1))
POWER = {"s1": 1, "s2": 2}


def two_hours(**parameters: Any) -> EdgeInstance:
    """The toy for two hours, with two servers a group; two of three a1 (2 GB) run at s1 already."""
    inst = changed(toy(period_hours=2.0), "servers", servers=2)
    inst = changed(inst, "applications", count=[3, 1, 1], state_gb=[2.0, 1.0, 1.0])
    given = {"unplaced_g": 100.0, "move_kwh_per_gb": 0.01, **parameters}
    placed = pd.DataFrame({"name": ["a1"], "group": ["s1"], "count": [2]})
    return EdgeInstance(
        {**inst.parameters.model_dump(), **given}, {**inst.tables, "placed": placed}
    )


def plan(
    rows: tuple[tuple[str, str, int, int], ...] = ROWS, power: dict[str, int] = POWER
) -> dict[str, pd.DataFrame]:
    """Tables of a plan."""
    return {
        "placements": pd.DataFrame(list(rows), columns=["name", "group", "server", "count"]),
        "power": pd.DataFrame({"group": list(power), "servers": list(power.values())}),
    }


def test_costs_by_hand() -> None:
    """Every figure of a plan of two hours, with a move and applications left out.

    Requests of 0.10, 0.06 and 0.07 kWh an hour at 600, 350 and 350 g/kWh; base power of 20 W at s1
    and of two servers of 50 W at s2. The 2 GB that move cost 0.02 kWh at the mean of the zones.
    """
    found = audit(two_hours(), plan())
    assert found.ok, found.violations
    applications = 0.2 * 600 + 0.12 * 350 + 0.14 * 350
    base = 0.04 * 600 + 2 * 0.1 * 350
    moves = 0.02 * (600 + 350 + 80) / 3
    assert dict(found.cost.parts) == pytest.approx(
        {
            "applications_g": applications,
            "base_g": base,
            "moves_g": moves,
            "unplaced_g": 200,
        }
    )
    carbon = applications + base + moves
    expected = {
        "carbon_g": carbon,
        # One server of s1 ran before.
        "incremental_g": carbon - 0.04 * 600,
        "energy_kwh": 0.2 + 0.12 + 0.14 + 0.04 + 0.2 + 0.02,
        "rtt_ms": 2 + 6 + 3,
        "servers_on": 3,
        "unplaced": 2,
        "moved_gb": 2,
    }
    assert {name: found.cost[name] for name in expected} == pytest.approx(expected)


def test_alike_applications_count_each() -> None:
    """Two on one server cost, take and travel twice as much as one."""
    one, two = (audit(two_hours(), plan((("a1", "s1", 1, n),), {"s1": 1})).cost for n in (1, 2))
    for name in ("applications_g", "rtt_ms"):
        assert two[name] == pytest.approx(2 * one[name])
    assert (one["moved_gb"], two["moved_gb"]) == (2, 0)
    # A third one where two ran moves nobody, and nobody back.
    assert audit(two_hours(), plan((("a1", "s1", 1, 3),), {"s1": 1})).cost["moved_gb"] == 0
    assert (one["unplaced"], two["unplaced"]) == (4, 3)


@pytest.mark.parametrize(
    ("rows", "power", "expected"),
    [
        (
            (("a1", "s1", 1, 3),),
            {"s1": 1},
            ("cpu_cores of a server", "s1, server 1", 3, "at most 2"),
        ),
        (
            (("a1", "s1", 2, 3),),
            {"s1": 2},
            ("cpu_cores of a server", "s1, server 2", 3, "at most 2"),
        ),
        (
            (("a1", "s2", 2, 3), ("a2", "s2", 2, 1)),
            {"s1": 1, "s2": 2},
            ("cpu_cores of a server", "s2, server 2", 4, "at most 3"),
        ),
        (
            (("a1", "s1", 1, 2), ("a1", "s1", 2, 2)),
            {"s1": 2},
            ("applications placed", "a1", 4, "at most 3"),
        ),
        (
            (("a2", "s2", 3, 1),),
            {"s1": 1, "s2": 2},
            ("number of the server", "a2 at s2", 3, "at most 2, the servers that are on"),
        ),
        ((), {"s1": 3}, ("servers on", "s1", 3, "1 to 2")),
        ((), {}, ("servers on", "s1", 0, "1 to 2")),
        (
            (("a1", "s1", 1, 1), ("a1", "s1", 1, 1)),
            {"s1": 1},
            ("one row per name and server", "row 2", 1, "once"),
        ),
    ],
)
def test_each_limit_says_where_and_how_much(
    rows: tuple[tuple[str, str, int, int], ...],
    power: dict[str, int],
    expected: tuple[str, str, float, str],
) -> None:
    """One broken limit each: its name, its place, what the plan does and what is allowed."""
    found = audit(two_hours(switch_off=False), plan(rows, power)).violations
    assert [(v.limit, v.where, v.value, v.allowed) for v in found] == [expected]


def test_servers_may_be_switched_off_where_that_is_allowed() -> None:
    """With `switch_off` the server that ran before need not stay on."""
    assert audit(two_hours(switch_off=True), plan((), {})).ok


def test_everybody_is_placed_where_nobody_may_be_left_out() -> None:
    """Without a price for it leaving out breaks a limit, application by application."""
    found = audit(two_hours(unplaced_g=None), plan()).violations
    assert [(v.where, v.value, v.allowed) for v in found] == [("a1", 2, "3"), ("a3", 0, "1")]


def test_a_budget_of_moves_is_kept_to_the_tolerance() -> None:
    """2 GB move: a budget of 2 holds, and one that is short by more than rounding does not."""
    inst = two_hours()
    for budget, ok in ((2.0, True), (2 - TOLERANCE, True), (2 - 4 * TOLERANCE, False)):
        found = audit(with_parameters(inst, moves_max_gb=budget), plan())
        assert found.ok == ok
    assert [(v.limit, v.value) for v in found.violations] == [("state moved [GB]", 2)]


def test_resources_are_kept_to_the_tolerance() -> None:
    """What takes a share of the tolerance too much is rounding, twice of it is not."""
    rows = (("a1", "s1", 1, 2),)
    for share, ok in ((0.5, True), (2.0, False)):
        profiles = two_hours().tables["profiles"]
        profiles["cpu_cores"] = profiles["cpu_cores"] * (1 + share * TOLERANCE)
        inst = EdgeInstance(
            two_hours().parameters.model_dump(), {**two_hours().tables, "profiles": profiles}
        )
        assert audit(inst, plan(rows, {"s1": 1})).ok == ok


def test_rows_that_mean_nothing_cost_nothing() -> None:
    """Rows with a name, a group, a server or a count that is none are told, and count for nobody.

    Taken by their place they would be the last of all classes, groups or servers.
    """
    inst = two_hours()
    whole = audit(inst, plan()).cost
    for odd in (("nobody", "s1", 1, 1), ("a2", "s9", 1, 1), ("a2", "s1", 0, 1), ("a2", "s1", 1, 0)):
        found = audit(inst, plan((*ROWS, odd)))
        assert [v.where for v in found.violations] == ["row 4"]
        assert found.cost == whole
    found = audit(inst, plan(power={**POWER, "s9": 1}))
    assert [v.where for v in found.violations] == ["row 3"]
    assert found.cost == whole


def test_servers_without_a_resource_hold_who_needs_none() -> None:
    """Nobody needs a GPU here: servers without any hold the same plan, to the last digit."""
    bare = changed(two_hours(), "servers", gpu_share=0.0, gpu_memory_gb=0.0)
    found = audit(bare, plan())
    assert found.ok, found.violations
    assert found.cost == audit(two_hours(), plan()).cost


def test_tables_are_sorted_by_group_server_and_name() -> None:
    """In whatever order a plan was given, its table has one order, and means the same."""
    rows = (("a2", "s2", 2, 1), ("a1", "s2", 2, 1), ("a3", "s1", 1, 1), ("a1", "s2", 1, 1))
    inst = two_hours()
    placement, none = read_placement(inst, plan(rows))
    assert none == []
    tables = tables_of(inst, placement)
    assert list(tables["placements"].itertuples(index=False, name=None)) == [
        ("a3", "s1", 1, 1),
        ("a1", "s2", 1, 1),
        ("a1", "s2", 2, 1),
        ("a2", "s2", 2, 1),
    ]
    assert list(tables["power"].itertuples(index=False, name=None)) == [("s1", 1), ("s2", 2)]
