"""The installed self-test: what it checks, and that each check can fail.

CI runs all of it from an installed wheel; here the small instances stand for the others.
"""

from __future__ import annotations

import copy
import json
import shutil

import pytest

from optmodels import selftest
from optmodels.cli.touring import bundled
from optmodels.scaling.job.model import formulation, model_data
from optmodels.solver.template import Formulation

SMALL = "scaling/job/caiso-48h"
IMPOSSIBLE = "scaling/job/impossible-deadline-24h"


@pytest.fixture(scope="module")
def golden():
    """The stored facts."""
    return json.loads(selftest.GOLDEN.read_text(encoding="utf-8"))


@pytest.fixture
def run(monkeypatch, tmp_path, capfd, golden):
    """Run the self-test on two instances and a changed copy of the stored facts."""

    def run(*arguments, change=lambda facts: None):
        home = tmp_path / "instances"
        for name in (SMALL, IMPOSSIBLE):
            shutil.copytree(bundled() / name, home / name, dirs_exist_ok=True)
        facts = copy.deepcopy({name: golden[name] for name in (SMALL, IMPOSSIBLE)})
        change(facts)
        stored = tmp_path / "facts.json"
        stored.write_text(json.dumps(facts), encoding="utf-8")
        monkeypatch.setattr(selftest, "GOLDEN", stored)
        monkeypatch.setattr("optmodels.cli.touring.bundled", lambda: home)
        # Two instances cannot show nine problems.
        monkeypatch.setattr("optmodels.registry.problems", lambda: ("scaling.job",))
        code = selftest.main(list(arguments))
        # The solver's own words, which no Python stream sees, would spoil the JSON.
        return code, capfd.readouterr()

    return run


def test_stored_facts_fit_the_bundled_instances(golden):
    """Every bundled instance has stored facts, every problem an instance, and all are intervals."""
    assert "of 9 problems" in selftest.check_instances(bundled(), golden)
    for facts in golden.values():
        assert facts.get("conflicts") or facts["bound"] <= facts["objective"] * (1 + 1e-9)


def test_every_problem_must_be_bundled(golden, tmp_path):
    """An installation that lost an instance, or all of a problem, is told so."""
    less = {name: facts for name, facts in golden.items() if name != SMALL}
    with pytest.raises(Exception, match=f"not both: {SMALL}"):
        selftest.check_instances(bundled(), less)
    with pytest.raises(Exception, match=r"no instance of scaling\.cluster"):
        shutil.copytree(bundled() / SMALL, tmp_path / SMALL)
        selftest.check_instances(tmp_path, {SMALL: golden[SMALL]})


def test_all_is_well(run):
    """The sound installation passes, in words and as JSON, and says nothing on stderr."""
    code, out = run()
    assert (code, out.err) == (0, "")
    assert "5 checks ok" in out.out and "1460.32" in out.out and "for 3 reasons" in out.out
    code, out = run("--json")
    report = json.loads(out.out)
    assert code == 0 and report["ok"] and report["versions"]["highspy"]
    assert [c["name"] for c in report["checks"]] == [
        "solver",
        "compiler",
        "instances",
        SMALL,
        IMPOSSIBLE,
    ]


@pytest.mark.parametrize(
    ("name", "field", "value", "says"),
    [
        (SMALL, "objective", 1460.31, "above the stored"),
        (SMALL, "bound", 1460.33, "below the stored"),
        (SMALL, "policy_cost", 2821.7, "'run-now' costs 2821.69, not 2821.7 as stored"),
        (SMALL, "policy", "lacs", "the baseline is 'run-now', not 'lacs'"),
        (SMALL, "fingerprint", "0", "not the one that was shipped"),
        (IMPOSSIBLE, "conflicts", ["work"], "the conflicts are ['work: 30 units"),
    ],
)
def test_a_wrong_stored_value_fails(run, name, field, value, says):
    """Each stored value is looked at: a wrong one fails its own check alone, with exit code 1.

    A self-test that compared nothing would pass with any number.
    """

    def change(facts):
        facts[name][field] = value

    code, out = run("--json", change=change)
    failed = [check for check in json.loads(out.out)["checks"] if not check["ok"]]
    assert code == 1 and [check["name"] for check in failed] == [name]
    assert says in failed[0]["detail"]


def test_table_counts_what_fails(run):
    """The table for people names what failed, and the exit code says so too."""
    code, out = run(change=lambda facts: facts[SMALL].update(policy_cost=1.0))
    assert code == 1 and "1 of 5 checks failed" in out.out
    assert f"failed {SMALL}" in out.out


def test_facts_are_made_by_the_command(run, tmp_path, golden):
    """``--golden`` writes the facts that are stored."""
    code, _ = run("--golden", str(tmp_path / "made.json"))
    made = json.loads((tmp_path / "made.json").read_text(encoding="utf-8"))
    assert code == 0
    assert made == {name: golden[name] for name in (SMALL, IMPOSSIBLE)}


def test_an_old_solver_fails(monkeypatch):
    """HiGHS 1.14, which answered some models wrongly, is refused; so is a wrong answer of any."""
    monkeypatch.setattr(selftest, "LOWEST_SOLVER", (99, 0))
    assert "is older than 99.0" in selftest.perform("solver", selftest.check_solver).detail
    monkeypatch.undo()
    monkeypatch.setattr(selftest, "CANARY_OPTIMUM", 15.0)
    assert "not 15" in selftest.perform("solver", selftest.check_solver).detail


def test_a_wrong_matrix_fails(monkeypatch):
    """One coefficient that differs from Pyomo's, or one lost slot, fails the compiler's check."""
    from optmodels import api

    data = model_data(api.load(bundled() / SMALL))
    right = Formulation(formulation()).compile(data).linear
    for change in ({"work": data["work"] + 1}, {"power_kw": data["power_kw"] + 1e-6}):
        wrong = Formulation(formulation()).compile({**data, **change}).linear
        assert 0 < selftest.largest_difference(right, wrong) < 2
    shorter = {k: v[:-1] if k in ("slots", "later_slots") else v for k, v in data.items()}
    shorter |= {"carbon_g_per_kw": data["carbon_g_per_kw"][:-1], "last_slots": data["slots"][-2:-1]}
    lost = Formulation(formulation()).compile(shorter).linear
    assert selftest.largest_difference(right, lost) == float("inf")
    monkeypatch.setattr(selftest, "largest_difference", lambda *_: 0.5)
    check = selftest.perform("compiler", lambda: selftest.check_compiler(bundled()))
    assert not check.ok and "differs from Pyomo's by 0.5" in check.detail


def test_an_unforeseen_failure_is_one_failed_check():
    """An error of any kind fails its check, with its kind, and ends nothing else."""

    def broken():
        raise ZeroDivisionError("division by\nzero")

    check = selftest.perform("broken", broken)
    assert (check.ok, check.detail) == (False, "ZeroDivisionError: division by zero")
