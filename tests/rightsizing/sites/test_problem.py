"""The whole row at the shared verbs and at the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

import optmodels as om
from optmodels.cli.touring import bundled
from tests.cli_runner import run
from tests.rightsizing.sites.instances import small

BUNDLED = bundled() / "rightsizing/sites/four-sites-28d"


def test_every_command(tmp_path: Path) -> None:
    """Generate, solve, save, check, compare, explain and export one instance."""
    folder, stored = tmp_path / "sites", tmp_path / "plan.json"
    sizes = ("hours=48", "sites=3", "demand_gpus=600", "module_gpus=8", "past_hours=48")
    options = [word for size in sizes for word in ("--size", size)]
    assert run("generate", "rightsizing.sites", folder, "--seed", 3, *options).code == 0
    solved = run("solve", folder, "--out", stored, "--json")
    assert solved.code == 0, solved.err
    assert solved.json["problem"] == "rightsizing.sites"
    assert solved.json["bound"] <= solved.json["objective"] * (1 + 1e-9)
    names = ("installed", "opening", "battery", "wind", "backup", "grid")
    total = sum(solved.json["cost"][f"{name}_usd"] for name in names)
    assert total == pytest.approx(solved.json["objective"], rel=1e-12)
    checked = run("check", folder, "--plan", stored, "--json")
    assert checked.json["objective"] == pytest.approx(total)
    assert run("explain", folder, "--json").json["reasons"] == []
    rows = run("compare", folder, "--policies", "newsvendor,joint-lp", "--json").json
    assert [row["policy"] for row in rows] == ["optimum", "newsvendor", "joint-lp"]
    assert all(row["ratio"] >= 1 and row["out_of_sample"] == 1 for row in rows)
    for name in ("model.mps", "model.lp"):
        assert run("export", folder, tmp_path / name).code == 0
        assert (tmp_path / name).stat().st_size > 1000


def test_infeasible_firmness_exits_with_reasons(tmp_path: Path) -> None:
    """A fleet that cannot be firm: exit code 3 and the limits in words."""
    small(1, demand=5000.0, unmet_share_max=0.1).save(tmp_path / "x")
    ending = run("solve", tmp_path / "x")
    assert ending.code == 3
    assert "firmness" in ending.err


def test_round_trip_of_instance_and_plan(tmp_path: Path) -> None:
    """Solved, saved, loaded and checked, with batteries in the plan, nothing changes."""
    inst = small(2, slots=24, demand=200.0, battery_kwh=60.0, backup_kw=10.0, opening=100.0)
    inst.save(tmp_path / "x")
    plan = om.solve(tmp_path / "x")
    plan.save(tmp_path / "plan.json")
    assert om.check(tmp_path / "x", tmp_path / "plan.json").objective == plan.objective
    assert plan.cost["battery_kwh"] > 0
    assert om.load(tmp_path / "x") == inst


def test_firm_comparisons_keep_every_rule() -> None:
    """Where a fleet must be firm every rule is made so, the baseline included."""
    inst = small(4, demand=250.0, unmet_share_max=0.6, module_gpus=8)
    found = om.compare(inst)
    assert not found.skipped
    assert (found.frame["unmet_share"] <= 0.6 + 1e-9).all()
    assert (found.frame["ratio"] >= 1).all()


def test_bundled_instance_is_what_its_command_makes() -> None:
    """The bundled sites are generated again from their own origin; the joint optimum pays."""
    inst = om.load(BUNDLED)
    again = om.generate(
        "rightsizing.sites", seed=2, demand_gpus=900, module_gpus=8, opening_usd_per_year=20000
    )
    assert again == inst
    frame = om.compare(inst).frame.set_index("policy")
    assert frame.loc["newsvendor", "ratio"] > 1.005
    assert frame.loc["optimum", "sites"] == 3
    assert frame.loc["newsvendor", "sites"] == 4
