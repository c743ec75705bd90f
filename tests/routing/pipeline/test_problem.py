"""The whole problem at the shared verbs and at the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

import optmodels as om
from optmodels.cli.touring import bundled
from tests.cli_runner import run
from tests.routing.pipeline.instances import chain, small

BUNDLED = bundled() / "routing/pipeline/five-services-9-hosts"


def test_every_command(tmp_path: Path) -> None:
    """Generate, solve, save, check, compare, explain, trade off and export one instance."""
    folder, stored = tmp_path / "pipeline", tmp_path / "plan.json"
    sizes = ("services=3", "gpu_hosts=2", "cpu_hosts=1", "gateways=1")
    options = [word for size in sizes for word in ("--size", size)]
    assert run("generate", "routing.pipeline", folder, "--seed", 3, *options).code == 0
    solved = run("solve", folder, "--out", stored, "--json")
    assert solved.code == 0, solved.err
    assert solved.json["problem"] == "routing.pipeline"
    assert solved.json["bound"] <= solved.json["objective"] * (1 + 1e-9)
    names = ("cards", "cores", "gpus", "transit", "in_flight")
    total = sum(solved.json["cost"][f"{name}_usd"] for name in names)
    assert total == pytest.approx(solved.json["objective"], rel=1e-12)
    checked = run("check", folder, "--plan", stored, "--json")
    assert checked.json["objective"] == pytest.approx(total)
    assert run("explain", folder, "--json").json["reasons"] == []
    rows = run("compare", folder, "--policies", "min-cost,min-latency", "--json").json
    assert [row["policy"] for row in rows] == ["optimum", "min-cost", "min-latency"]
    assert all(row["ratio"] >= 1 for row in rows)
    for name in ("model.mps", "model.lp"):
        assert run("export", folder, tmp_path / name).code == 0
        assert (tmp_path / name).stat().st_size > 1000


def test_a_limit_below_the_fastest_route_exits_with_reasons(tmp_path: Path) -> None:
    """Exit code 3 and the service with its limit in words."""
    chain(("none", "none", "none"), limit=3.0).save(tmp_path / "x")
    ending = run("solve", tmp_path / "x")
    assert ending.code == 3
    assert "only: its fastest route takes 3.7696 ms, the limit is 3 ms" in ending.err


@pytest.mark.parametrize("seed", [0, 7])
def test_round_trip_of_instance_and_plan(tmp_path: Path, seed: int) -> None:
    """Solved, saved, loaded and checked, nothing changes; also with an empty table of cards."""
    inst = small(seed, 2)
    inst.save(tmp_path / "x")
    plan = om.solve(tmp_path / "x")
    plan.save(tmp_path / "plan.json")
    assert om.check(tmp_path / "x", tmp_path / "plan.json").objective == plan.objective
    assert om.load(tmp_path / "x") == inst


def test_bundled_instance_is_what_its_command_makes() -> None:
    """Made again from its own origin; cards pay, and no rule finds the optimum."""
    inst = om.load(BUNDLED)
    sizes = {"services": 5, "gpu_hosts": 3, "cpu_hosts": 1}
    again = om.generate(
        "routing.pipeline", seed=4, load_gpus=1.5, in_flight_usd_per_hour=0.1, **sizes
    )
    assert again == inst
    frame = om.compare(inst).frame.set_index("policy")
    assert frame.loc["optimum", "saving"] > 0.04
    assert frame["ratio"].drop("optimum").min() > 1.005
    assert frame.loc["optimum", "rdma_share"] > 0.4
