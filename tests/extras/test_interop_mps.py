"""Exported models mean the same to CBC and to GLPK as to HiGHS, for every problem."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

import optmodels as om
from optmodels.cli.app import app
from optmodels.registry import problems

ROOT = Path(__file__).resolve().parents[2]
BUNDLED = ROOT / "instances"
SAME = 1e-6

#: The bundled instances that all three solve in seconds, and small ones of the other problems.
QUESTIONS = {
    "scaling.job": lambda: om.load(BUNDLED / "scaling/job/elastic-profile-72h"),
    "scaling.cluster": lambda: om.generate(
        "scaling.cluster", seed=1, hours=10, capacity=4, past_hours=0
    ),
    "rightsizing.sites": lambda: om.generate(
        "rightsizing.sites", seed=1, hours=168, sites=3, module_gpus=8
    ),
    "routing.sites": lambda: om.generate(
        "routing.sites",
        seed=1,
        hours=1,
        slot_minutes=30,
        period_seconds=1800,
        sites=2,
        gpus=24,
        classes=2,
        origins=1,
        past_hours=0,
    ),
    "routing.pipeline": lambda: om.load(BUNDLED / "routing/pipeline/five-services-9-hosts"),
    "placement.edge": lambda: om.load(BUNDLED / "placement/edge/eight-sites-60-apps"),
    "placement.accelerators": lambda: om.load(
        BUNDLED / "placement/accelerators/four-nodes-20-apps"
    ),
    "ensembles.selection": lambda: om.load(BUNDLED / "ensembles/selection/two-apps-4-servers"),
    "ensembles.failover": lambda: om.load(BUNDLED / "ensembles/failover/five-sites-16-apps"),
}


def cbc(path: Path) -> float:
    """Objective that CBC finds."""
    found = path.with_suffix(".cbc")
    said = subprocess.run(
        ["cbc", path, "ratio", "1e-9", "solve", "solu", found],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    # CBC 2.10 writes wrong values into its file after preprocessing a MIP; its log is right.
    whole = re.findall(r"Objective value:\s+(\S+)", said)
    head = found.read_text(encoding="utf-8").splitlines()[0]
    assert head.startswith("Optimal"), head
    return float(whole[-1] if whole else head.split()[-1])


def glpk(path: Path) -> float:
    """Objective that GLPK finds."""
    found = path.with_suffix(".glpk")
    subprocess.run(
        ["glpsol", "--freemps", path, "--mipgap", "1e-9", "--cuts", "-w", found],
        capture_output=True,
        check=True,
        timeout=60,
    )
    # Line "s": kind, rows, columns, status, objective. The status is "o" for an optimal MIP,
    # and for an LP "f" twice: feasible, with feasible prices.
    line = re.search(r"^s .*$", found.read_text(encoding="utf-8"), re.MULTILINE)
    kind, _, _, *status, objective = line.group().split()[1:]
    assert status == {"mip": ["o"], "bas": ["f", "f"]}[kind], line.group()
    return float(objective)


def test_every_problem_is_here() -> None:
    """No problem is forgotten."""
    assert set(QUESTIONS) == set(problems())


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """File and optimum of a problem's model, made once for both programs."""
    done: dict[str, tuple[Path, float]] = {}

    def make(name: str) -> tuple[Path, float]:
        if name not in done:
            where = tmp_path_factory.mktemp("exported")
            instance = QUESTIONS[name]()
            folder, file = instance.save(where / "instance"), where / "model.mps"
            ran = CliRunner().invoke(app, ["export", str(folder), str(file)])
            assert ran.exit_code == 0, ran.output
            best = om.solve_model(instance.model(), mip_gap=1e-9).require()
            done[name] = file, best.objective
        return done[name]

    return make


@pytest.mark.parametrize("name", QUESTIONS)
@pytest.mark.parametrize(("program", "solve"), [("cbc", cbc), ("glpsol", glpk)])
def test_same_optimum(program: str, solve, name: str, exported) -> None:
    """The file of `optmodels export` has the optimum of the model in memory.

    Two solvers and two readers that share no code with HiGHS: this catches a constant of the
    objective that readers take with different signs, and whatever else a file might leave out.
    """
    if shutil.which(program) is None:
        pytest.skip(f"the program {program} is not installed")
    file, objective = exported(name)
    assert solve(file) == pytest.approx(objective, rel=SAME, abs=SAME)
