"""The installed self-test: whether this installation computes what it should.

::

    python -m optmodels.selftest [--json]

It needs no test runner, no extra and no checkout. It looks for what an installation can break and a
test suite beside the sources cannot see: files missing from the package, a solver of another
version, a library that compiles or rounds differently.

* The solver is of a version that answers right, and finds optima that an older one missed.
* The template compiler and Pyomo's own standard form give the same matrix.
* Every bundled instance loads, survives being saved, and is solved; its plan passes the audit and
  survives being saved; its optimum and its baseline policy cost what `GOLDEN` says, and the policy
  is no better than the proven bound. Where no plan exists, the explanation is the stored one.

The stored numbers are proven intervals, so that they hold for every correct solver: an optimum is
between its bound and its cost. They are made again by
``python -m optmodels.selftest --golden optmodels/selftest.json``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optmodels.errors import InfeasibleError, OptmodelsError

if TYPE_CHECKING:
    from optmodels.instance import Instance
    from optmodels.solver import LinearModel
    from optmodels.solver.labels import FloatArray

#: Stored facts by instance.
GOLDEN = Path(__file__).with_name("selftest.json")
#: Relative difference of costs that other versions of the libraries may make.
TOLERANCE = 1e-6
#: HiGHS 1.14 answers 15 to: min 2x + 3y, x + y >= 4.5, 0 <= x, y <= 10, y integer.
LOWEST_SOLVER = (1, 15)
CANARY_OPTIMUM = 9.0
#: Largest difference between two ways to compile one matrix.
_DIGITS = 1e-11
_COMPILED = "scaling/job/caiso-48h"


@dataclass(frozen=True)
class Check:
    """What one check found.

    Attributes
    ----------
    name
        "solver", "compiler", "instances", or the name of a bundled instance.
    ok
        Whether all is as it should be.
    detail
        What was found, or what is wrong, in one line.
    seconds
        How long it took [s].
    """

    name: str
    ok: bool
    detail: str
    seconds: float


class _WrongError(Exception):
    """Something is not as it should be."""


def facts(instance: Instance) -> dict[str, Any]:
    """Solve an instance, replay its baseline policy, take both through files; what they cost.

    Raises
    ------
    OptmodelsError
        A plan fails its audit, is better than the bound, or is another one when read again.
    """
    from optmodels import api, registry
    from optmodels.comparison import compare

    with tempfile.TemporaryDirectory(prefix="optmodels-selftest-") as name:
        folder = Path(name)
        again = api.load(instance.save(folder / "instance"))
        if again != instance:
            raise _WrongError("the instance is another one after it was saved and loaded")
        try:
            plan = api.solve(again)
        except InfeasibleError:
            return {"fingerprint": instance.fingerprint, "conflicts": api.explain(again)}
        checked = api.check(instance, plan.save(folder / "plan.json"))
        if checked.objective != plan.objective:
            raise _WrongError("the plan costs another sum after it was saved and audited")
    baseline = registry.problem(instance.problem).baseline
    policy = compare(instance, [baseline], optimum=plan).plans[baseline]
    return {
        "fingerprint": instance.fingerprint,
        "objective": plan.objective,
        "bound": plan.bound,
        "policy": baseline,
        "policy_cost": policy.objective,
    }


def contradictions(found: Mapping[str, Any], golden: Mapping[str, Any]) -> list[str]:
    """Where what was found and what is stored cannot both be true.

    Parameters
    ----------
    found, golden
        Facts of one instance, as `facts` gives them.

    Returns
    -------
    list of str
        One sentence each.
    """
    if found["fingerprint"] != golden["fingerprint"]:
        return ["the instance is not the one that was shipped"]
    if "conflicts" in found or "conflicts" in golden:
        same = found.get("conflicts") == golden.get("conflicts")
        return [] if same else [f"the conflicts are {found.get('conflicts', 'none')}"]
    wrong = []
    for one, other, where in ((found, golden, "above"), (golden, found, "below")):
        # No plan costs less than a proven bound, whoever proved it.
        if other["objective"] < one["bound"] - TOLERANCE * abs(one["bound"]):
            wrong.append(
                f"the optimum is {found['objective']:.9g} with bound {found['bound']:.9g}, "
                f"{where} the stored {golden['objective']:.9g} with bound {golden['bound']:.9g}"
            )
    if found["policy"] != golden["policy"]:
        wrong.append(f"the baseline is '{found['policy']}', not '{golden['policy']}'")
    elif abs(found["policy_cost"] - golden["policy_cost"]) > TOLERANCE * golden["policy_cost"]:
        wrong.append(
            f"'{found['policy']}' costs {found['policy_cost']:.9g}, "
            f"not {golden['policy_cost']:.9g} as stored"
        )
    return wrong


def check_solver() -> str:
    """The solver has a version that answers right, and finds an optimum that others missed."""
    import numpy as np

    from optmodels.solver import LinearModel, solve_model
    from optmodels.solver.listening import silent_highs

    version = str(silent_highs().version())
    if tuple(int(part) for part in version.split(".")[:2]) < LOWEST_SOLVER:
        lowest = ".".join(map(str, LOWEST_SOLVER))
        raise _WrongError(f"HiGHS {version} is older than {lowest}, which answers right")
    model = LinearModel(
        cost=np.array([2.0, 3.0]),
        starts=np.array([0, 1, 2]),
        indices=np.array([0, 0]),
        coefficients=np.ones(2),
        row_lower=np.array([4.5]),
        row_upper=np.array([np.inf]),
        column_lower=np.zeros(2),
        column_upper=np.full(2, 10.0),
        integer=np.array([False, True]),
    )
    objective = solve_model(model).objective
    if objective is None or abs(objective - CANARY_OPTIMUM) > TOLERANCE:
        raise _WrongError(f"HiGHS {version} finds {objective}, not {CANARY_OPTIMUM:g}")
    return f"HiGHS {version}"


def check_compiler(home: Path) -> str:
    """The template compiler gives the matrix that Pyomo's standard form gives."""
    from optmodels import api
    from optmodels.scaling.job import model as job
    from optmodels.solver.pyomo_standard import compile_pyomo
    from optmodels.solver.template import Formulation

    instance: Any = api.load(home / _COMPILED)
    ours = Formulation(job.formulation()).compile(job.model_data(instance)).linear
    theirs = compile_pyomo(instance.model())
    difference = largest_difference(ours, theirs)
    if not difference <= _DIGITS:
        raise _WrongError(f"the compiled matrix differs from Pyomo's by {difference:.3g}")
    return f"{ours.rows} rows, {ours.columns} columns as in Pyomo's standard form"


def largest_difference(one: LinearModel, other: LinearModel) -> float:
    """Largest difference between two forms of a model, whatever the order of their places.

    Parameters
    ----------
    one, other
        Models without empty rows.

    Returns
    -------
    float
        Infinite where the names of their rows or columns differ.
    """
    import numpy as np

    if (one.rows, one.columns, one.maximize) != (other.rows, other.columns, other.maximize):
        return float("inf")
    (places, numbers), (other_places, other_numbers) = _by_name(one), _by_name(other)
    return float(np.abs(numbers - other_numbers).max()) if places == other_places else float("inf")


def _by_name(model: LinearModel) -> tuple[list[str], FloatArray]:
    """Names of the places of a model in order, and all its numbers in the order of the names."""
    import numpy as np

    from optmodels.solver.labels import place_text

    rows = [place_text(*model.labels.row(i)) for i in range(model.rows)]
    columns = [place_text(*model.labels.column(j)) for j in range(model.columns)]
    by_row, by_column = np.argsort(rows), np.argsort(columns)
    matrix = model.matrix.toarray()[by_row][:, by_column]
    # Pyomo turns some rows (all signs): here the first entry of a row is positive.
    sign = np.sign(matrix[np.arange(model.rows), (matrix != 0).argmax(axis=1)])
    sides = np.sort(np.stack([model.row_lower, model.row_upper])[:, by_row] * sign, axis=0)
    parts = (
        (matrix * sign[:, None]).ravel(),
        sides.ravel(),
        model.column_lower[by_column],
        model.column_upper[by_column],
        model.cost[by_column],
        model.integer[by_column].astype(float),
        [model.offset],
    )
    # Infinite bounds become the largest numbers: equal ones differ by nothing.
    return sorted(rows) + sorted(columns), np.nan_to_num(np.concatenate(parts))


def check_instances(home: Path, golden: Mapping[str, Any]) -> str:
    """Every problem has a bundled instance, and all of them have stored facts."""
    from optmodels import registry

    bundled = names(home)
    if set(bundled) != set(golden):
        odd = ", ".join(sorted(set(bundled) ^ set(golden)))
        raise _WrongError(f"bundled or stored, but not both: {odd}")
    missing = [p for p in registry.problems() if not any(n.startswith(_place(p)) for n in bundled)]
    if missing:
        raise _WrongError(f"no instance of {', '.join(missing)}")
    return f"{len(bundled)} instances of {len(registry.problems())} problems"


def check_instance(home: Path, name: str, golden: Mapping[str, Any]) -> str:
    """One bundled instance does what the stored facts say."""
    from optmodels import api

    found = facts(api.load(home / name))
    wrong = contradictions(found, golden)
    if wrong:
        raise _WrongError("; ".join(wrong))
    if "conflicts" in found:
        return f"no plan, for {len(found['conflicts'])} reasons"
    policy = f"'{found['policy']}' costs {found['policy_cost']:.9g}"
    return f"{found['objective']:.9g}, proven bound {found['bound']:.9g}; {policy}"


def names(home: Path) -> list[str]:
    """Names of the bundled instances: their folders below `home`."""
    found = home.rglob("datapackage.json")
    return sorted(path.parent.relative_to(home).as_posix() for path in found)


def checks(home: Path, golden: Mapping[str, Any]) -> dict[str, Callable[[], str]]:
    """All checks by name, in their order.

    Parameters
    ----------
    home
        Folder of the bundled instances.
    golden
        Stored facts by instance.
    """
    found: dict[str, Callable[[], str]] = {
        "solver": check_solver,
        "compiler": partial(check_compiler, home),
        "instances": partial(check_instances, home, golden),
    }
    for name in names(home):
        if name in golden:
            found[name] = partial(check_instance, home, name, golden[name])
    return found


def perform(name: str, check: Callable[[], str]) -> Check:
    """Run one check; whatever goes wrong in it is its result, not an end of the others."""
    started = time.perf_counter()
    try:
        ok, detail = True, check()
    except (_WrongError, OptmodelsError) as error:
        ok, detail = False, " ".join(str(error).split())
    except Exception as error:  # an installation can break in ways that nobody foresees
        ok, detail = False, " ".join(f"{type(error).__name__}: {error}".split())
    return Check(name, ok, detail, time.perf_counter() - started)


def main(arguments: list[str] | None = None) -> int:
    """Run the self-test, print its table; the exit code: 0 if all is well, 1 if anything is not.

    Parameters
    ----------
    arguments
        Of the command line; by default those of the process.
    """
    parser = argparse.ArgumentParser(prog="python -m optmodels.selftest", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--golden", type=Path, metavar="FILE", help="store what is found instead")
    given = parser.parse_args(arguments)

    from tqdm.auto import tqdm

    from optmodels import api
    from optmodels.atomic import write_text_atomically
    from optmodels.cli.touring import bundled
    from optmodels.plan import installed_versions

    started = time.perf_counter()
    home = bundled()
    if given.golden is not None:
        found = {name: facts(api.load(home / name)) for name in names(home)}
        write_text_atomically(given.golden, json.dumps(found, indent=1, ensure_ascii=False) + "\n")
        return 0
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    todo = tqdm(checks(home, golden).items(), desc="self-test", leave=False, disable=None)
    done = [perform(name, check) for name, check in todo]
    failed = sum(not check.ok for check in done)
    seconds = time.perf_counter() - started
    if given.json:
        content = {
            "ok": not failed,
            "seconds": seconds,
            "versions": installed_versions(),
            "checks": [asdict(check) for check in done],
        }
        sys.stdout.write(json.dumps(content, indent=2) + "\n")
    else:
        width = max(len(check.name) for check in done)
        for check in done:
            mark = "ok    " if check.ok else "failed"
            sys.stdout.write(
                f"{mark} {check.name:{width}} {check.seconds:5.1f} s  {check.detail}\n"
            )
        verdict = f"{failed} of {len(done)} checks failed" if failed else f"{len(done)} checks ok"
        sys.stdout.write(f"{verdict} in {seconds:.0f} s, with the instances in {home}\n")
    return int(failed > 0)


def _place(problem: str) -> str:
    """Folder of the instances of a problem."""
    return problem.replace(".", "/") + "/"


if __name__ == "__main__":
    sys.exit(main())
