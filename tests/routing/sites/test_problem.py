"""The whole row at the shared verbs and at the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import optmodels as om
from optmodels import registry
from optmodels.cli.touring import bundled
from optmodels.comparison import run as play
from optmodels.errors import UsageError
from optmodels.forecast import PersistenceForecast
from tests.cli_runner import run
from tests.routing.sites.instances import small, toy_h1

BUNDLED = bundled() / "routing/sites/four-sites-4h"
SIZES = {"hours": 0.5, "sites": 2, "gpus": 64, "classes": 2, "origins": 1}


def test_every_command(tmp_path: Path) -> None:
    """Generate, solve, save, check, compare, explain and export one instance."""
    folder, stored = tmp_path / "sites", tmp_path / "plan.json"
    options = [word for k, v in SIZES.items() for word in ("--size", f"{k}={v}")]
    assert run("generate", "routing.sites", folder, "--seed", 3, *options).code == 0
    solved = run("solve", folder, "--out", stored, "--json")
    assert solved.code == 0, solved.err
    assert solved.json["problem"] == "routing.sites"
    assert solved.json["bound"] <= solved.json["objective"]
    assert solved.json["cost"]["lost_requests"] == solved.json["objective"]
    checked = run("check", folder, "--plan", stored, "--json")
    assert checked.code == 0, checked.err
    assert checked.json["objective"] == solved.json["objective"]
    assert run("explain", folder, "--json").code == 0
    names = "heron,gpu-idling"
    rows = run("compare", folder, "--policies", names, "--json").json
    assert [row["policy"] for row in rows] == ["optimum", "heron", "gpu-idling"]
    assert {"attainment", "goodput_per_s", "reloads", "spilled_share"} <= set(rows[1])
    assert rows[1]["granted"] == "forecast persistence"
    text = run("compare", folder, "--policies", names).out
    assert "in time" in text
    assert "carbon intensity" not in text
    assert run("export", folder, tmp_path / "model.mps").code == 0


def test_the_toy_at_the_shared_verbs() -> None:
    """Known optima: nothing lost, or 750 requests; a ratio to nothing is 1 or infinite."""
    free = om.compare(toy_h1(), ["heron", "weighted-round-robin"]).frame.set_index("policy")
    assert free.loc["optimum", "total"] == 0
    assert free.loc["optimum", "ratio"] == 1
    lost = free["total"] > 0
    assert (free["ratio"][lost] == np.inf).all()
    assert (free["ratio"][~lost] == 1).all()
    dark = om.solve(toy_h1((4.0, 0.0)))
    assert dark.objective == pytest.approx(750.0)
    assert dark.bound is not None
    assert dark.bound <= 750.0 + 1e-9


def test_nobody_beats_the_bound() -> None:
    """On several instances every policy is audited, and loses no less than the oracle's bound."""
    for seed in range(3):
        inst = small(seed, periods=6, sites=2, gpus=24, keep_warm=seed == 2, gpu_idle_kw=0.02)
        found = om.compare(inst, optimum=om.solve(inst, method="repair"))
        assert not found.skipped
        assert found.optimum.bound is not None
        assert (found.frame["total"] >= found.optimum.bound * (1 - 1e-7)).all()
        assert (found.frame["ratio"] >= 1).all()
        assert found.frame["attainment"].between(0, 1).all()


def test_round_trip_of_instance_and_plan(tmp_path: Path) -> None:
    """Solved, saved, loaded and checked nothing changes, import included."""
    inst = small(1, periods=4, sites=2, gpus=24, backup_kw=3.0, carbon=300.0, usd=0.2)
    inst.save(tmp_path / "x")
    plan = om.solve(tmp_path / "x", method="repair")
    plan.save(tmp_path / "plan.json")
    again = om.check(tmp_path / "x", tmp_path / "plan.json")
    assert again.objective == plan.objective
    assert again.cost == plan.cost
    assert om.load(tmp_path / "x") == inst


def test_published_forecasts() -> None:
    """Power is shown as published until midnight UTC; demand, of which nothing is, as before."""
    rng = np.random.default_rng(0)
    published = np.round(rng.uniform(0, 5, (6, 2)), 1)
    start = small(1).times[0] + np.timedelta64(24 * 60 - 15, "m")
    inst = small(1, periods=6, sites=2, origins=1, classes=1, published_kw=published, start=start)
    made = registry.problem("routing.sites").series(inst).published
    assert made is not None
    truth = np.concatenate([inst.power_kw, inst.demand[:, 0]], axis=1)
    ahead = made.ahead(0, truth[:1])
    assert (ahead[:2, :2] == published[1:3]).all()
    assert (ahead[2:, :2] == truth[0, :2]).all()
    assert (ahead[:, 2] == truth[0, 2]).all()
    best = om.solve(inst, method="repair")
    om.compare(inst, ["heron"], forecast="published", optimum=best)
    with pytest.raises(UsageError, match="of the day before"):
        om.compare(toy_h1(), ["heron"], forecast="published")


def test_bundled_instance_is_what_its_command_makes() -> None:
    """Made again from its own sizes; power is scarce, and planning across sites pays.

    How near the oracle's plan is to its bound is tested with the tour.
    """
    inst = om.load(BUNDLED)
    again = om.generate("routing.sites", seed=2, hours=4, sites=4, gpus=4000, classes=4, load=0.7)
    assert again == inst
    assert again.origin == inst.origin
    source = PersistenceForecast(inst.periods)
    heron = registry.problem("routing.sites").policy("heron")
    robin = registry.problem("routing.sites").policy("weighted-round-robin")
    lost = play(inst, heron, forecast=source).objective
    assert 2 * lost < play(inst, robin).objective
