"""The audit: a small selection by hand, and where and by how much each limit is broken."""

from __future__ import annotations

import pandas as pd
import pytest

from optmodels.ensembles.selection.audit import COLUMNS, audit, read_members, tables_of
from optmodels.ensembles.selection.tasks import TOLERANCE
from tests.ensembles.selection.cases import golden

#: m0 (right on 6 of 8) on server-1, which fails with .1; m2 (5 of 8) on server-2, with .2.
ROWS = [("app", "m0", "server-1"), ("app", "m2", "server-2")]


def members(rows: list[tuple[object, ...]]) -> dict[str, pd.DataFrame]:
    """Tables of a plan."""
    return {"members": pd.DataFrame(rows, columns=list(COLUMNS))}


def test_errors_by_hand() -> None:
    """The best of two that fail: .9 · 6/8 + .1 · .8 · 5/8 right on average, 5/8 in the worst case.

    The worst case is one failure. Of the mean 60 % is the average, 40 % the worst case.
    """
    found = audit(golden("best", expected_share=0.6), members(ROWS))
    assert found.ok
    expected, worst = 1 - (0.9 * 0.75 + 0.1 * 0.8 * 0.625), 0.375
    assert dict(found.cost.parts) == pytest.approx(
        {"expected_part": 0.6 * expected, "worst_part": 0.4 * worst}
    )
    assert dict(found.cost.quantities) == pytest.approx(
        {
            "expected_error": expected,
            "worst_error": worst,
            "undisturbed_error": 0.25,
            # m0 takes 1 J for a request, m2 3 J.
            "energy_j": 4,
            "memory_mb": 160,
            "members": 2,
            "unserved": 0,
        }
    )
    nobody = audit(golden("best"), members([])).cost
    assert [nobody[name] for name in ("expected_error", "members", "unserved")] == [1, 0, 1]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (
            [*ROWS, ("app", "m4", "server-2")],
            [
                ("2 members on server-2, at most 1", "app", 3, "as the application says"),
                ("memory of a server [MB]", "server-2", 110, "at most 60"),
            ],
        ),
        (
            [("app", "m2", "server-2"), ("app", "m2", "server-3")],
            [("2 copies of m2, at most 1", "app", 2, "as the application says")],
        ),
        (
            [*ROWS, ("nobody", "m0", "server-1")],
            [("application of table 'members'", "row 3", 3, "an application")],
        ),
        (
            [("app", "m9", "server-1"), *ROWS],
            [("candidate of table 'members'", "row 1", 1, "a candidate of app")],
        ),
        (
            [ROWS[0], ("app", "m2", 7)],
            [("server of table 'members'", "row 2", 2, "a server")],
        ),
        ([*ROWS, ROWS[1]], [("one row per member and server", "row 3", 3, "once")]),
    ],
)
def test_each_limit_says_where_and_how_much(
    rows: list[tuple[object, ...]], expected: list[tuple[str, str, float, str]]
) -> None:
    """Broken limits by name and place, what the plan does and what is allowed; nothing else."""
    found = audit(golden("best"), members(rows)).violations
    assert [(v.limit, v.where, v.value, v.allowed) for v in found] == expected


def test_columns_must_be_there_once() -> None:
    """A missing and a doubled column are named, a missing table all three; nothing is read."""
    inst = golden("best")
    table = members(ROWS)["members"]
    for tables, limits in (
        ({"members": table.drop(columns="server")}, [("server", 0)]),
        ({"members": pd.concat([table, table[["candidate"]]], axis=1)}, [("candidate", 2)]),
        ({}, [(name, 0) for name in COLUMNS]),
    ):
        found = audit(inst, tables)
        assert [(v.limit, v.value) for v in found.violations] == [
            (f"column '{name}' of table 'members'", count) for name, count in limits
        ]
        assert found.cost["members"] == 0


def test_tables_lead_back() -> None:
    """Tables are sorted by name; read in any order they give the same members."""
    inst = golden("best")
    placements, none = read_members(inst, members(ROWS[::-1]))
    assert (placements, none) == ([((0, 0), (2, 1))], [])
    assert list(tables_of(inst, placements)["members"].itertuples(index=False, name=None)) == ROWS


@pytest.mark.parametrize("room", [60.0, 0.5])
@pytest.mark.parametrize(("share", "ok"), [(0.5, True), (1.5, False)])
def test_memory_is_kept_to_the_tolerance(room: float, share: float, ok: bool) -> None:
    """Half of the tolerance too much is rounding, one and a half of it is not; below 1 MB of 1."""
    inst = golden("best")
    candidates = inst.tables["candidates"]
    candidates["memory_mb"] = room + share * TOLERANCE * max(room, 1.0)
    inst = inst.replace(
        candidates=candidates, servers=inst.tables["servers"].assign(capacity_mb=room)
    )
    limits = {violation.limit for violation in audit(inst, members(ROWS)).violations}
    assert ("memory of a server [MB]" in limits) == (not ok)


def test_a_number_is_no_name() -> None:
    """The number 7 does not name the candidate "7": a table that lost its texts is told so."""
    tables = {
        name: frame.replace({"candidate": {"m2": "7"}}) if "candidate" in frame else frame
        for name, frame in golden("best").tables.items()
    }
    inst = golden("best").replace(**tables)
    for name, ok in (("7", True), (7, False)):
        assert audit(inst, members([ROWS[0], ("app", name, "server-2")])).ok == ok
