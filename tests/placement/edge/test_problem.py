"""The whole row at the shared verbs and at the command line, and audits that see every fault."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import optmodels as om
from optmodels.cli.touring import bundled
from optmodels.errors import InputError
from optmodels.placement.edge.audit import audit
from optmodels.placement.edge.from_maps import from_cities
from tests.cli_runner import run
from tests.placement.edge.instances import changed, toy, with_parameters

BUNDLED = bundled() / "placement/edge/eight-sites-60-apps"


def test_every_command(tmp_path: Path) -> None:
    """Generate, solve, save, check, compare, explain and export one instance."""
    folder, stored = tmp_path / "edge", tmp_path / "plan.json"
    sizes = ("sites=4", "applications=16", "zones=2", "batches=2", "forecast_error=0.3")
    options = [word for size in sizes for word in ("--size", size)]
    assert run("generate", "placement.edge", folder, "--seed", 3, *options).code == 0
    solved = run("solve", folder, "--out", stored, "--json")
    assert solved.code == 0, solved.err
    assert solved.json["bound"] <= solved.json["objective"] * (1 + 1e-9)
    parts = ("applications_g", "base_g", "moves_g", "unplaced_g")
    total = sum(solved.json["cost"][name] for name in parts)
    assert total == pytest.approx(solved.json["objective"], rel=1e-12)
    checked = run("check", folder, "--plan", stored, "--json")
    assert checked.json["objective"] == pytest.approx(total)
    assert run("explain", folder, "--json").json["reasons"] == []
    rows = run("compare", folder, "--policies", "carbon-edge,one-by-one", "--json").json
    assert [row["policy"] for row in rows] == ["optimum", "carbon-edge", "one-by-one"]
    assert all(row["ratio"] >= 1 and row["out_of_sample"] == 1 for row in rows)
    assert run("export", folder, tmp_path / "model.mps").code == 0


def test_bundled_instance_is_what_its_command_makes() -> None:
    """The bundled sites are generated again from their own origin; the optimum is proven."""
    inst = om.load(BUNDLED)
    again = om.generate(
        "placement.edge",
        seed=1,
        sites=8,
        applications=60,
        zones=4,
        batches=2,
        forecast_error=0.2,
    )
    assert again == inst
    plan = om.solve(inst)
    assert plan.objective == pytest.approx(148.77, abs=0.01)
    assert plan.gap <= 1e-4


@pytest.mark.parametrize(
    ("table", "change", "limit"),
    [
        ("placements", {"server": 9}, "number of the server"),
        ("placements", {"count": 2}, "applications placed"),
        ("placements", {"count": 1.5}, "column 'count'"),
        ("placements", {"name": "nobody"}, "name of table"),
        ("placements", {"group": "s1"}, "cpu_cores of a server"),
        ("power", {"servers": 2}, "servers on"),
        ("power", {"group": "s9"}, "group of table"),
    ],
)
def test_audit_sees_every_fault(table: str, change: dict[str, object], limit: str) -> None:
    """A plan with one thing wrong is refused with the limit that it breaks."""
    inst = toy()
    plan = om.solve(inst)
    assert audit(inst, plan.tables).ok
    tables = {**plan.tables, table: plan.tables[table].assign(**change)}
    broken = audit(inst, tables).violations
    assert any(limit in violation.limit for violation in broken), [str(v) for v in broken]


def test_audit_sees_a_round_trip_that_is_too_long() -> None:
    """The same plan under a shorter limit."""
    plan = om.solve(toy())
    short = changed(toy(), "applications", rtt_limit_ms=8.0)
    broken = audit(short, plan.tables).violations
    assert [v.limit for v in broken] == ["round trip and fit"]


def test_faults_of_an_instance_are_told_together() -> None:
    """Labels that lead nowhere and servers that cannot run, in one message."""
    tables = toy().tables
    tables["sites"] = tables["sites"].assign(zone="nowhere")
    tables["servers"] = tables["servers"].assign(running=7)
    with pytest.raises(InputError) as caught:
        type(toy())(toy().parameters.model_dump(), tables)
    assert len(caught.value.flaws) >= 4


def test_cities_become_a_question() -> None:
    """Round trips in both directions, users by weight, intensities by zone, a forecast."""
    rtt = pd.DataFrame(
        [[None, 4.0, 9.0], [5.0, None, 7.0], [9.0, 7.0, None]],
        index=["a", "b", "c"],
        columns=["a", "b", "c"],
        dtype=float,
    )
    inst = from_cities(
        rtt,
        {"a": "x", "b": "y"},
        {"x": 500.0, "y": 50.0},
        start="2022-01-01T00:00:00Z",
        period_hours=744.0,
        rtt_limit_ms=10.0,
        weights={"a": 3.0, "b": 1.0},
        forecast_g_per_kwh={"x": 400.0, "y": 60.0},
    )
    assert inst.tables["applications"].groupby("origin")["count"].sum().to_dict() == {
        "a": 30,
        "b": 10,
    }
    trips = inst.tables["latency"].set_index(["origin", "site"])["rtt_ms"]
    assert trips[("a", "b")] == 4.0
    assert trips[("a", "a")] == 0.0
    plan = om.solve(inst, mip_gap=0.02)
    assert plan.cost["unplaced"] == 0
    dear = om.solve(with_parameters(inst, unplaced_g=0.0), mip_gap=0.02)
    assert dear.cost["unplaced"] == inst.count.sum()
