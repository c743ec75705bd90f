"""Many scenarios: CVaR by hand, scenarios, and hedging on real MPI ranks against the whole model.

Hedging runs in processes of its own, because importing mpi-sppy starts MPI. MPI talks through
shared memory only.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.errors import InputError, MissingExtraError, UsageError
from optmodels.rightsizing.sites import hedging
from optmodels.rightsizing.sites.audit import Fleet
from optmodels.rightsizing.sites.model import Scenario, formulation, model_data
from optmodels.rightsizing.sites.risk import Risk, cvar
from optmodels.rightsizing.sites.scenarios import (
    as_instance,
    independent_sites,
    pieces,
    scenario_costs,
    with_forecast_errors,
)
from optmodels.rightsizing.sites.stochastic import sampled_weeks, solve_two_stage
from optmodels.rightsizing.sites.subproblem import Subproblem
from optmodels.solver import compile_model
from optmodels.solver.template import instance_of
from tests.rightsizing.sites.instances import fleet, small
from tests.rightsizing.sites.test_stochastic import course

ROOT = Path(__file__).resolve().parents[3]
#: Stated tolerance of hedging against the extensive form. The value at risk is slow to agree on;
#: with modules and openings a gap may stay open however long one hedges.
TOLERANCE, OTHERS = 2e-4, {"risk": 1e-3, "modules": 0.05}
PATIENCE_S = 150

CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "batteries": {"battery_kwh": 50.0},
    "firm": {"backup_kw": 40.0, "unmet_share_max": 0.8},
    "risk": {},
    "modules": {"module_gpus": 16, "opening": 1e4},
}
RISK = Risk(0.5, 0.6)


def question(name: str) -> tuple[Any, list[Scenario], Risk]:
    """Instance, scenarios and risk of a case; the ranks make the same ones."""
    inst = small(7, slots=24, demand=300.0, **CASES[name])
    scenarios = with_forecast_errors(inst, pieces(inst, 6.0), 2, spread=0.4, seed=3)
    return inst, scenarios, RISK if name == "risk" else Risk()


# ------------------------------------------------------------------------------------------- risk
def three() -> tuple[Any, list[Scenario]]:
    """One hour; the wind feeds 0, 2 or 4 GPUs with probability 0.2, 0.3, 0.5."""
    inst = fleet([[4.0]], demand=4.0)
    return inst, [course([[x]], 4.0, p) for x, p in ((0.0, 0.2), (2.0, 0.3), (4.0, 0.5))]


@pytest.mark.parametrize(
    ("weight", "gpus", "cost"), [(0.0, 4.0, 12.2), (0.5, 2.0, 14.1), (1.0, 2.0, 15.0)]
)
def test_cvar_by_hand(weight: float, gpus: float, cost: float) -> None:
    """K = 1, v = 3, c_g = 4: n GPUs cost n + 16 - 3 min(n, X). The dearest 0.4 are calms.

    Mean: from 2 to 4 GPUs a GPU gains 3 · 0.5 - 1 > 0, so 4: 20 - 3 (0.6 + 2) = 12.2. Tail: up to 2
    it gains 3 · 0.2 / 0.4 - 1 > 0, then nothing: 2 and 18 - 3 = 15. Half and half: beyond 2 it
    gains 0.25 - 0.5 < 0: 2 and (13.2 + 15) / 2. A tail of one scenario, or of probability β
    instead of 1 - β, gives other sizes.
    """
    inst, scenarios = three()
    found = solve_two_stage(inst, scenarios, risk=Risk(weight, 0.6))
    assert found.fleet.gpus.tolist() == pytest.approx([gpus])
    assert (found.cost, found.bound) == pytest.approx((cost, cost))


def test_cvar_splits_a_scenario() -> None:
    """The scenario at the edge counts with what of its probability still fits in."""
    costs, chances = np.array([1.0, 5.0, 3.0]), np.array([0.5, 0.2, 0.3])
    assert cvar(costs, chances, 0.6) == pytest.approx((0.2 * 5 + 0.2 * 3) / 0.4)
    assert cvar(costs, chances, 0.0) == pytest.approx(costs @ chances)
    assert cvar(costs, chances, 0.9) == pytest.approx(5)
    for wrong in ((-0.1, 0.5), (1.1, 0.5), (0.5, 1.0), (float("nan"), 0.5)):
        with pytest.raises(UsageError, match="allowed"):
            Risk(*wrong)


@settings(deadline=None, derandomize=True, max_examples=8)
@given(st.integers(0, 10**6), st.sampled_from(sorted(CASES)), st.floats(0.0, 0.9))
def test_risk_of_the_whole_model(seed: int, case: str, level: float) -> None:
    """The rows of CVaR give what sorting the audited costs gives, for every kind of instance.

    λ = 0 is the mean; what is minimised never falls with λ, and neither does its CVaR rise.
    """
    inst = small(seed, slots=12, demand=300.0, **CASES[case])
    scenarios = with_forecast_errors(inst, pieces(inst, 4.0), 2, spread=0.5, seed=seed)
    chances = np.array([c.probability for c in scenarios])
    neutral = solve_two_stage(inst, scenarios, mip_gap=0.0).cost
    last, tail = neutral, np.inf
    for weight in (0.0, 0.4, 1.0):
        risk = Risk(weight, level)
        found = solve_two_stage(inst, scenarios, risk=risk, mip_gap=0.0)
        costs = scenario_costs(inst, scenarios, found.fleet)
        assert found.cost == pytest.approx(risk.measure(costs, chances), rel=1e-6)
        assert found.cost >= last * (1 - 1e-7)
        assert cvar(costs, chances, level) <= tail * (1 + 1e-6)
        if weight == 0:
            assert found.cost == pytest.approx(neutral, rel=1e-9)
        last, tail = found.cost, cvar(costs, chances, level)


@pytest.mark.parametrize("case", ["batteries", "modules"])
def test_template_has_the_rows_of_cvar(case: str) -> None:
    """The template compiler and Pyomo's own objects give one model, CVaR and all."""
    inst, scenarios, _ = question(case)
    data = model_data(inst, scenarios, risk=RISK)
    fast: Any = compile_model(formulation(True), data)
    slow: Any = compile_model(instance_of(formulation(True), data, name="slow"))
    assert (fast.rows, fast.columns, fast.nonzeros) == (slow.rows, slow.columns, slow.nonzeros)
    for name in ("cost", "coefficients", "row_upper", "column_upper"):
        one, other = (np.sort(getattr(model, name)) for model in (fast, slow))
        assert one == pytest.approx(other, rel=1e-12)


# -------------------------------------------------------------------------------------- scenarios
def test_forecast_errors() -> None:
    """Noise of mean one and the given correlation, within the nameplate, repeated by its seed."""
    inst = fleet(np.full((2000, 2), 10.0), nameplate_kw=[1e4, 12.0])
    whole = pieces(inst, 2000.0)
    made = with_forecast_errors(inst, whole, 3, spread=0.3, persistence=0.8, seed=5)
    again = with_forecast_errors(inst, whole, 3, spread=0.3, persistence=0.8, seed=5)
    assert [c.probability for c in made] == pytest.approx([1 / 3] * 3)
    assert all(np.array_equal(a.power_kw, b.power_kw) for a, b in zip(made, again, strict=True))
    noise = np.log(np.stack([c.power_kw[:, 0] for c in made]) / 10)
    assert np.exp(noise).mean() == pytest.approx(1, abs=0.02)
    assert noise.std() == pytest.approx(0.3, abs=0.02)
    centred = noise - noise.mean()
    assert (centred[:, 1:] * centred[:, :-1]).mean() / noise.var() == pytest.approx(0.8, abs=0.03)
    assert max(c.power_kw[:, 1].max() for c in made) == 12
    for wrong in ({"count": 0}, {"spread": -1.0}, {"persistence": 1.0}):
        with pytest.raises(UsageError, match="allowed"):
            with_forecast_errors(inst, whole, **{"count": 1, **wrong})


def test_pieces_and_independent_sites() -> None:
    """Pieces are the series cut up; independent sites have columns of different pieces."""
    inst = small(1, slots=26, demand=300.0)
    parts = pieces(inst, 6.0)
    assert len(parts) == 4
    assert np.array_equal(np.concatenate([p.power_kw for p in parts]), inst.power_kw[:24])
    made = independent_sites(inst, 30, hours=6.0, seed=2)
    mixed = 0
    for one in made:
        assert one.hours.sum() == pytest.approx(inst.hours)
        origin = [
            next(k for k, p in enumerate(parts) if np.array_equal(p.power_kw[:, s], column))
            for s, column in enumerate(one.power_kw.T)
        ]
        mixed += len(set(origin)) > 1
    assert mixed > 15
    with pytest.raises(UsageError, match="allowed"):
        pieces(inst, 27.0)
    with pytest.raises(UsageError, match="1 or more"):
        independent_sites(inst, 0)


def test_scenarios_of_unequal_hours_have_no_audit() -> None:
    """A scenario whose slots stand for different hours is refused, not run wrongly."""
    inst = small(1, slots=4)
    uneven = Scenario(inst.power_kw, inst.demand, np.array([1.0, 1.0, 0.5, 1.5]))
    with pytest.raises(InputError, match="differ between slots"):
        as_instance(inst, uneven)


# ------------------------------------------------------------------------------------ subproblems
def test_any_prices_prove_a_bound() -> None:
    """Prices that cancel out over the scenarios give a lower bound, whatever they are."""
    inst, scenarios, _ = question("batteries")
    whole = solve_two_stage(inst, scenarios).cost
    subs = [Subproblem(inst, [one], Risk(), mip_gap=0.0) for one in scenarios]
    rng = np.random.default_rng(0)
    prices = rng.normal(size=(len(subs), len(subs[0].names))) * subs[0].cost
    for size in (0.0, 0.3, 3.0):
        cancel = size * (prices - prices.mean(axis=0))
        answers = [sub.solve(p) for sub, p in zip(subs, cancel, strict=True)]
        bound = sum(a.bound for a in answers if a is not None) / len(subs)
        assert bound <= whole * (1 + 1e-9)


def test_pull_is_the_square() -> None:
    """The chords of the pull are those of ρ/2 (x - x̄)²: exact at their ends, nowhere below it.

    With the first stage fixed the pull is all that changes; a slope that is a factor of two off, or
    segments in the wrong order, shows.
    """
    inst, scenarios, _ = question("plain")
    sub = Subproblem(inst, scenarios[:1], Risk(), mip_gap=0.0)
    nothing = np.zeros(len(sub.names))
    reach = sub.upper - sub.lower
    anchor, rho = sub.lower + reach / 4, np.full(len(nothing), 0.7)

    def pull(point: Any) -> float:
        plain = sub.solve(nothing, fixed=point)
        pulled = sub.solve(nothing, fixed=point, rho=rho, anchor=anchor)
        assert plain is not None
        assert pulled is not None
        return pulled.objective - plain.objective

    for share in (-0.25, -0.125, 0.0, 0.25, 0.5):
        square = 0.35 * float(((share * reach) ** 2).sum())
        assert pull(anchor + share * reach) == pytest.approx(square, rel=1e-9, abs=1e-6)
    between = 0.35 * float(((0.4 * reach) ** 2).sum())
    assert between <= pull(anchor + 0.4 * reach) <= 1.125 * between


def test_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra the error says what to install."""
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    inst, scenarios = three()
    with pytest.raises(MissingExtraError, match=r"optmodels\[stochastic\]"):
        hedging.progressive_hedging(inst, scenarios)
    with pytest.raises(UsageError, match="bundle is 0"):
        hedging.progressive_hedging(inst, scenarios, bundle=0)


# ----------------------------------------------------------------------------------- on real ranks
@pytest.fixture(scope="session")
def mpiexec() -> Path:
    """The mpiexec of this environment."""
    for package in ("mpisppy", "mpi4py"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"the extra 'stochastic' is not installed: no {package}")
    path = Path(sys.executable).parent / "mpiexec"
    if not path.exists():
        pytest.skip("there is no mpiexec beside this Python")
    return path


def ranks(
    mpiexec: Path, count: int, arguments: Sequence[str], folder: Path
) -> subprocess.CompletedProcess[str]:
    """Run Python on so many ranks; whatever happens, no process stays behind."""
    launch = [str(mpiexec), "--allow-run-as-root", "--oversubscribe", "-n", str(count)]
    launch += ["--timeout", str(PATIENCE_S)]
    for name, value in (("pml", "ob1"), ("btl", "self,sm"), ("osc", "^ucx")):
        launch += ["--mca", name, value]
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [*launch, sys.executable, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths},
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=PATIENCE_S + 10)
    except subprocess.TimeoutExpired:
        # mpiexec ends its ranks when it is asked to end.
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        pytest.fail("the ranks did not come to an end")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return subprocess.CompletedProcess(launch, process.returncode, out, err)


PROGRAM = """
import json
from optmodels.rightsizing.sites.hedging import progressive_hedging
from tests.rightsizing.sites.test_hedging import CASES, question
found = {}
for name in CASES:
    inst, scenarios, risk = question(name)
    hedged = progressive_hedging(
        inst, scenarios, risk=risk, gap=1e-4, iterations=5 if name == "modules" else 40,
        bundle=2 if name == "firm" else 1,
    )
    found[name] = {
        "cost": hedged.cost, "bound": hedged.bound, "ranks": hedged.ranks,
        "gpus": hedged.fleet.gpus.tolist(), "battery": hedged.fleet.battery_kwh.tolist(),
        "costs": hedged.scenario_costs.tolist(),
    }
from mpi4py import MPI
if MPI.COMM_WORLD.Get_rank() == 0:
    print(json.dumps(found))
"""


@pytest.mark.parametrize("count", [1, 2])
def test_hedging_is_the_extensive_form(mpiexec: Path, count: int, tmp_path: Path) -> None:
    """On one rank, and on a hub with a bounding spoke: optimum, bounds and audit of all cases.

    The bound is never above the optimum, the cost never below it, and both are within the stated
    tolerance. A pull left in the bound, prices that do not cancel out, or modules that are not
    whole would each break one of them. The library says nothing on stdout and leaves no file.
    """
    done = ranks(mpiexec, count, ["-c", PROGRAM], tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert not list(tmp_path.iterdir())
    for name in CASES:
        inst, scenarios, risk = question(name)
        whole = solve_two_stage(inst, scenarios, risk=risk, mip_gap=0.0)
        made = found[name]
        tolerance = OTHERS.get(name, TOLERANCE)
        assert made["ranks"] == count
        assert made["bound"] <= whole.cost * (1 + 1e-9), name
        assert made["cost"] >= whole.bound * (1 - 1e-9), name
        assert made["cost"] <= whole.cost * (1 + tolerance), name
        assert made["bound"] >= whole.cost * (1 - tolerance), name
        built = Fleet(np.array(made["gpus"]), np.array(made["battery"]))
        costs = scenario_costs(inst, scenarios, built)
        assert made["costs"] == pytest.approx(costs.tolist(), rel=1e-9)
        if name == "modules":
            assert (built.gpus % 16 == 0).all()


CREATOR = """
import json
from optmodels.rightsizing.sites.hedging import quiet, scenario_creator
from tests.rightsizing.sites.test_hedging import question
found = {}
with quiet():
    from mpisppy.opt.ef import ExtensiveForm
    for name in ("risk", "modules"):
        inst, scenarios, risk = question(name)
        named = {f"scenario{k}": one for k, one in enumerate(scenarios)}
        whole = ExtensiveForm(
            {"solver": "appsi_highs"}, list(named), scenario_creator,
            scenario_creator_kwargs={"instance": inst, "scenarios": named, "risk": risk},
        )
        whole.solve_extensive_form()
        found[name] = [whole.get_objective_value(), len(whole.get_root_solution())]
print(json.dumps(found))
"""


def test_scenario_creator_serves_other_programs(mpiexec: Path, tmp_path: Path) -> None:
    """mpi-sppy's own extensive form of our scenario models has our optimum and first stage."""
    done = ranks(mpiexec, 1, ["-c", CREATOR], tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for name, first in (("risk", 3 + 1), ("modules", 3 * 3)):
        inst, scenarios, risk = question(name)
        whole = solve_two_stage(inst, scenarios, risk=risk, mip_gap=0.0)
        assert found[name][0] == pytest.approx(whole.cost, rel=1e-4)
        assert found[name][1] == first


def test_command_on_two_ranks(mpiexec: Path, tmp_path: Path) -> None:
    """One JSON document from the first rank; an error ends both ranks with its exit code."""
    inst = small(3, slots=3 * 168, demand=300.0)
    inst.save(tmp_path / "inst")
    command = ["-m", "optmodels.rightsizing.sites.hedging", "inst", "--weeks", "3"]
    done = ranks(mpiexec, 2, [*command, "--errors", "2", "--risk-weight", "0.3"], tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    weeks = with_forecast_errors(inst, sampled_weeks(inst, 3), 2)
    whole = solve_two_stage(inst, weeks, risk=Risk(0.3, 0.9))
    assert found["scenarios"] == 6
    assert found["bound_usd"] <= whole.cost * (1 + 1e-9)
    assert whole.cost * (1 - 1e-9) <= found["cost_usd"] <= whole.cost * 1.002
    assert {row["site"] for row in found["fleet"]} == set(inst.sites)
    inst.replace(unmet_share_max=0.0).save(tmp_path / "inst", overwrite=True)
    wrong = ranks(mpiexec, 2, command, tmp_path)
    assert wrong.returncode == 3
    assert "firm enough" in wrong.stderr
    assert wrong.stdout == ""
