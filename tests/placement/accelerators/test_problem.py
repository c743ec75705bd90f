"""The whole row at the shared verbs and at the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

import optmodels as om
from optmodels.cli.touring import bundled
from optmodels.errors import InputError
from tests.cli_runner import run
from tests.placement.accelerators.instances import instance

BUNDLED = bundled() / "placement/accelerators/four-nodes-20-apps"


def test_every_command(tmp_path: Path) -> None:
    """Generate, solve, save, check, compare, explain and export one instance."""
    folder, stored = tmp_path / "x", tmp_path / "plan.json"
    sizes = ("apps=10", "gpus=1", "tpus=1")
    options = [word for size in sizes for word in ("--size", size)]
    assert run("generate", "placement.accelerators", folder, "--seed", 3, *options).code == 0
    solved = run("solve", folder, "--out", stored, "--json")
    assert solved.code == 0, solved.err
    assert solved.json["status"] == "optimal"
    assert solved.json["bound"] == solved.json["objective"]
    total = solved.json["cost"]["rejected"] + solved.json["cost"]["spoilt"]
    assert total == solved.json["objective"]
    assert run("check", folder, "--plan", stored, "--json").json["objective"] == total
    assert run("explain", folder, "--json").json["reasons"] == []
    rows = run("compare", folder, "--policies", "breadth,knapsack", "--json").json
    assert [row["policy"] for row in rows] == ["optimum", "breadth", "knapsack"]
    assert all(row["simulated_kept"] <= row["hosted"] for row in rows)
    for name in ("model.mps", "model.lp"):
        assert run("export", folder, tmp_path / name).code == 0
        assert (tmp_path / name).stat().st_size > 500


def test_who_cannot_be_hosted_is_explained(tmp_path: Path) -> None:
    """Each reason in words; the others are placed all the same."""
    inst = instance(
        [
            ("m", 1.0, 99.0),
            ("m", 1.0, 10.5),
            ("m", 90.0, 99.0),
            ("big", 1.0, 99.0),
            ("m", 60.0, 99.0),
        ],
        [("m", "tpu", 10.0), ("big", "tpu", 1.0, 0.0, 900.0)],
        ["tpu"],
        devices=[("tpu", "fcfs", 15.0)],
    )
    said = om.explain(inst)
    assert [line.partition(":")[0] for line in said] == ["a1", "a2", "a3", "a4"]
    for line, words in zip(said, ("leaves", "front end", "900 MB", "front end"), strict=True):
        assert words in line
    plan = om.solve(inst)
    assert plan.objective == plan.bound == 4
    inst.save(tmp_path / "x")
    found = run("explain", tmp_path / "x", "--json").json
    assert found["solvable"] and len(found["reasons"]) == 4


def test_bundled_instance_is_what_its_command_makes() -> None:
    """Made again from its own command; better than every policy, kept in simulation."""
    inst = om.load(BUNDLED)
    assert om.generate("placement.accelerators", seed=14) == inst
    frame = om.compare(inst).frame.set_index("policy")
    assert frame["total"].drop("optimum").min() == 3
    assert frame.loc["optimum", ["total", "simulated_kept"]].tolist() == [1, 19]
    assert frame.loc["memory-first", "total"] > 10


def test_generator_refuses_all_at_once() -> None:
    """Every size out of range is told in one error; a cluster needs a node."""
    with pytest.raises(InputError) as caught:
        om.generate("placement.accelerators", apps=0, rate_max=0.1, reserve_share=2, slo_max=1.0)
    assert len(caught.value.flaws) == 4
    with pytest.raises(InputError):
        om.generate("placement.accelerators", gpus=0, tpus=0)
    inst = om.generate("placement.accelerators", seed=1, gpus=0, tpus=1, rate_max=1)
    assert inst.origin is not None and "--size gpus=0" in inst.origin
    assert om.generate("placement.accelerators", seed=1) != om.generate("placement.accelerators")
