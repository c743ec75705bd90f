"""Studies: one table whatever computes it, nothing computed twice, nothing lost."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import optmodels as om
from optmodels import registry
from optmodels.errors import InfeasibleError, UsageError
from optmodels.studies import EngineError, work
from optmodels.studies.cell import grid, identity
from tests.scaling.job.instances import job
from tests.studies.policies import AtOnce, Deadly, Failing

ROOT = Path(__file__).resolve().parents[2]
JOBS = [om.generate("scaling.job", seed=seed, hours=24, work=6.0) for seed in range(4)]
POLICIES = ["run-now", "random-slots", "lowest-slots", "lacs"]


def test_the_table_holds_what_single_comparisons_give() -> None:
    """Totals, ratios, certificates and savings are those of `compare`, policy by policy."""
    found = om.study(JOBS[:2], ["run-now", "lacs", "roro"])
    for instance in JOBS[:2]:
        expected = om.compare(instance, ["run-now", "lacs", "roro"]).frame.set_index("policy")
        rows = found.frame[found.frame["fingerprint"] == instance.fingerprint].set_index("policy")
        for column in ("total", "ratio", "certified_ratio", "saving", "switches"):
            got = rows[column].astype(float)[expected.index]
            np.testing.assert_allclose(got, expected[column].astype(float), rtol=1e-12)


def test_cells_are_not_repeated_where_nothing_differs() -> None:
    """Seeds matter to random policies, forecasts to those that ask for them, neither to others."""
    found = om.study(JOBS[:1], POLICIES, forecasts=["perfect", "noise:0.3"], seeds=[3, 4]).frame
    counts = found["policy"].value_counts()
    assert counts.to_dict() == {
        **{"optimum": 1, "run-now": 1, "random-slots": 2, "lowest-slots": 4, "lacs": 1}
    }
    noisy = found[found["forecast"] == "noise:0.3"]
    assert noisy["total"].nunique() == 2


def test_noise_is_shared_by_policies_and_not_by_instances() -> None:
    """Every instance draws noise of its own from the same seed, all of its policies the same."""
    cells = grid(JOBS[:2], {"a": "lowest-slots", "b": "carbonscaler"}, ["noise:0.3"], [0]).cells
    seeds = {(cell.instance, cell.policy): cell.drawn_seed for cell in cells}
    first, second = JOBS[0].name, JOBS[1].name
    assert seeds[first, "a"] == seeds[first, "b"] != seeds[second, "a"]


@pytest.mark.parametrize("engine", ["threads", "processes", "workers"])
def test_the_table_is_the_same_on_every_executor(engine: str) -> None:
    """Neither order nor place changes a digit."""
    options: dict[str, Any] = {"forecasts": ["noise:0.2"], "seeds": [0, 1]}
    expected = om.study(JOBS, POLICIES, **options).frame
    if engine == "workers":
        got = om.study(JOBS, POLICIES, workers=2, **options).frame
    else:
        kind = ThreadPoolExecutor if engine == "threads" else ProcessPoolExecutor
        with kind(2) as executor:
            got = om.study(JOBS, POLICIES, executor=executor, **options).frame
    pd.testing.assert_frame_equal(got, expected, check_exact=True)


def test_a_store_is_used_and_no_more_than_it_should(tmp_path: Path) -> None:
    """What is there is not computed again; new seeds, policies and instances are."""
    first = om.study(JOBS[:2], POLICIES, store=tmp_path / "s")
    assert first.computed == len(first.frame) == 10
    again = om.study(JOBS[:2], POLICIES, store=tmp_path / "s")
    assert again.computed == 0
    pd.testing.assert_frame_equal(again.frame, first.frame, check_exact=True)
    assert om.study(JOBS[:2], POLICIES, seeds=[0, 1], store=tmp_path / "s").computed == 4
    assert om.study(JOBS[:3], POLICIES, store=tmp_path / "s").computed == 5
    assert om.study(JOBS[:2], [*POLICIES, "roro"], store=tmp_path / "s").computed == 2


def test_a_changed_policy_or_instance_is_computed_again(tmp_path: Path) -> None:
    """Options of a policy and data of an instance are part of what a result depends on."""
    quick, slow = {"p": AtOnce(0.0)}, {"p": AtOnce(1e-6)}
    assert om.study(JOBS[:1], quick, store=tmp_path / "s").computed == 2
    assert om.study(JOBS[:1], quick, store=tmp_path / "s").computed == 0
    assert om.study(JOBS[:1], slow, store=tmp_path / "s").computed == 1
    other = JOBS[0].replace(deadline_slots=23)
    assert om.study([other], quick, store=tmp_path / "s").computed == 2


def test_a_used_policy_is_still_the_same_policy(tmp_path: Path) -> None:
    """What a policy remembers of a run does not change what it is."""
    policy = AtOnce()
    om.study(JOBS[:1], {"p": policy}, store=tmp_path / "s")
    policy.memory = [1, 2, 3]  # type: ignore[attr-defined]
    assert om.study(JOBS[:1], {"p": policy}, store=tmp_path / "s").computed == 0


def test_a_failing_cell_is_recorded_and_stops_nobody(tmp_path: Path) -> None:
    """A bug in a policy is one row with its error; it is told, and found again in the store."""
    for _ in range(2):
        found = om.study(JOBS[:2], {"bug": Failing(), "run": "run-now"}, store=tmp_path / "s")
        assert found.frame["status"].tolist() == ["done", "failed", "done"] * 2
        assert found.failures["error"].tolist() == ["ZeroDivisionError: a bug in a policy"] * 2
        assert "2 cells failed, the first: ZeroDivisionError" in repr(found)
        assert found.failures[["total", "ratio"]].isna().all(axis=None)


def test_an_instance_without_a_plan_fails_its_cells_only() -> None:
    """No optimum, no ratio: the policies of that instance have failed, those of others not."""
    impossible = JOBS[0].replace(deadline_slots=3)
    with pytest.raises(InfeasibleError):
        om.solve(impossible)
    frame = om.study([impossible, JOBS[1]], ["run-now"]).frame
    assert frame["status"].tolist() == ["failed", "failed", "done", "done"]
    assert "there is no optimum to compare with (InfeasibleError" in frame["error"][1]


def test_a_policy_below_the_optimum_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """A total below the proven bound is no result: the cell fails and says so."""
    monkeypatch.setattr(work.Known, "reference", property(lambda known: 1e9))
    frame = om.study(JOBS[:1], ["run-now"]).frame
    assert "less than the 1000000000 that any plan" in frame["error"][1]


def test_policies_that_do_not_apply_are_skipped_unless_asked_for() -> None:
    """Of the default set they are told with their reason; one that was named has failed."""
    bare = job([300, 100, 200], work=1)
    status = om.study([bare]).frame.set_index("policy")["status"]
    assert status["roro"] == "skipped" and status["run-now"] == "done"
    assert om.study([bare], ["roro"]).frame["status"].tolist() == ["done", "failed"]


def test_a_worker_that_dies_is_found(tmp_path: Path) -> None:
    """The cell that kills its worker has failed; all others are done."""
    policies = {"dies": Deadly(), "run": "run-now", "lacs": "lacs"}
    found = om.study(JOBS[:2], policies, workers=2, store=tmp_path / "s")
    status = found.frame.set_index(["fingerprint", "policy"])["status"].unstack()
    assert (status["dies"] == "failed").all()
    assert (status[["optimum", "run", "lacs"]] == "done").all(axis=None)
    assert (found.failures["error"] == "the worker process died").all()


def test_a_broken_executor_of_the_user_keeps_what_was_done(tmp_path: Path) -> None:
    """The study stops with our error; run again without the culprit it goes on where it was."""
    with ProcessPoolExecutor(1) as executor, pytest.raises(EngineError, match="a worker died"):
        om.study(JOBS[:2], {"dies": Deadly()}, executor=executor, store=tmp_path / "s")
    assert om.study(JOBS[:1], ["run-now"], store=tmp_path / "s").computed == 1


class _Picky(Executor):
    """Cannot send chunks of more than one cell, as where one policy of them cannot be pickled."""

    def submit(self, function: Any, /, *arguments: Any, **named: Any) -> Future[Any]:
        """Do it here and now."""
        future: Future[Any] = Future()
        [chunk] = arguments
        if len(chunk.jobs) > 1 or isinstance(chunk.jobs[0].policy, Failing):
            future.set_exception(TypeError("cannot pickle"))
        else:
            future.set_result(function(chunk))
        return future


def test_what_cannot_be_sent_fails_alone() -> None:
    """Of a chunk that cannot be sent the other cells are sent by themselves."""
    frame = om.study(
        JOBS[:1], {"a": AtOnce(), "f": Failing(), "b": "lacs"}, executor=_Picky()
    ).frame
    assert frame["status"].tolist() == ["done", "done", "failed", "done"]
    assert frame["error"][2] == "TypeError: cannot pickle"


_SCRIPT = """
import sys
import optmodels as om
from tests.studies.policies import AtOnce

if __name__ == "__main__":
    jobs = [om.generate("scaling.job", seed=seed, hours=24, work=6.0) for seed in range(12)]
    policies = {str(i): AtOnce(0.02 + i / 1000) for i in range(6)}
    print("started", flush=True)
    found = om.study(jobs, policies, workers=int(sys.argv[2]) or None, store=sys.argv[1])
    found.save(sys.argv[3])
"""


def test_ten_kills_lose_nothing(tmp_path: Path) -> None:
    """A study that is killed (SIGKILL) at random moments ends with the identical table.

    Cells that were done before a kill are not computed again: the store grows from run to run.
    """
    script = tmp_path / "run.py"
    script.write_text(_SCRIPT)

    def start(store: str, workers: int, table: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [
                sys.executable,
                str(script),
                str(tmp_path / store),
                str(workers),
                str(tmp_path / table),
            ],
            cwd=ROOT,
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    with start("reference", 0, "reference.csv") as reference:
        assert reference.wait(timeout=120) == 0
    rng = random.Random(0)
    kills = sizes = 0
    while kills < 10:
        with start("store", kills % 2 * 2, "table.csv") as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(rng.uniform(0.0, 0.35))
            process.send_signal(signal.SIGKILL)
            kills += 1
        table = tmp_path / "store" / "cells.csv"
        lines = table.read_bytes().count(b"\n") if table.exists() else 0
        assert lines >= sizes
        sizes = lines
    with start("store", 2, "table.csv") as process:
        assert process.wait(timeout=120) == 0
    assert (tmp_path / "table.csv").read_bytes() == (tmp_path / "reference.csv").read_bytes()


def test_an_interrupt_keeps_what_was_done(tmp_path: Path) -> None:
    """Ctrl-C ends a study at once, and what was done until then is in the store."""

    class Interrupting(AtOnce):
        def decide(self, observation: Any) -> float:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        om.study(JOBS[:1], {"a": AtOnce(), "i": Interrupting()}, store=tmp_path / "s")
    again = om.study(JOBS[:1], {"a": AtOnce()}, store=tmp_path / "s")
    assert again.computed == 0


def test_tables_can_be_saved(tmp_path: Path) -> None:
    """CSV and Parquet hold the table; other endings are refused and nothing is written."""
    found = om.study(JOBS[:1], ["run-now"])
    assert len(pd.read_csv(found.save(tmp_path / "t.csv"))) == 2
    parquet = pd.read_parquet(found.save(tmp_path / "t.parquet"))
    assert parquet["total"].tolist() == found.frame["total"].tolist()
    with pytest.raises(UsageError, match=r"\.csv or \.parquet"):
        found.save(tmp_path / "t.xlsx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.csv", "t.parquet"]


def test_a_study_over_several_problems_has_a_table_of_each() -> None:
    """Columns of one problem do not show in the table of another."""
    wind = om.generate("rightsizing.sites", seed=0, hours=48)
    found = om.study([JOBS[0], wind])
    assert found.problems == ["scaling.job", "rightsizing.sites"]
    assert "switches" in found.of("scaling.job") and "switches" not in found.of("rightsizing.sites")
    with pytest.raises(UsageError, match="several problems"):
        found.of()
    assert "rightsizing.sites" in found._repr_html_()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"instances": []}, "at least one instance"),
        ({"policies": ["lacks"]}, "lacs"),
        ({"policies": [AtOnce(), AtOnce()]}, "mapping of labels"),
        ({"policies": {"optimum": "lacs"}}, "labels the oracle"),
        ({"forecasts": []}, "at least one forecast"),
        ({"forecasts": {"none": "perfect"}}, "use another label"),
        ({"seeds": []}, "at least one"),
        ({"seeds": [1, 1]}, "different"),
        ({"seeds": [-1]}, "whole numbers from 0"),
        ({"workers": 0}, "a whole number from 1"),
        ({"workers": 2, "executor": ThreadPoolExecutor(1)}, "exclude each other"),
    ],
)
def test_wrong_usage(options: dict[str, Any], words: str) -> None:
    """Each gives one sentence that says what is allowed, before anything is computed."""
    with pytest.raises(UsageError, match=words):
        om.study(**{"instances": JOBS[:1], **options})


@pytest.mark.parametrize("name", om.problems())
def test_every_policy_can_be_told_from_others(name: str) -> None:
    """Constructors keep their arguments by name, so that a store knows what made a result."""
    problem = registry.problem(name)
    for label in problem.policies:
        policy = problem.policy(label)
        assert set(signature(type(policy)).parameters) <= set(vars(policy)), label


def test_a_policy_that_forgets_its_options_is_refused() -> None:
    """Otherwise a store would give one policy's results for another's."""

    class Forgetful(AtOnce):
        def __init__(self, speed: float) -> None:
            self._fast = speed > 1

    with pytest.raises(UsageError, match="does not keep speed"):
        om.study(JOBS[:1], {"p": Forgetful(2.0)})


def test_values_have_an_identity() -> None:
    """Equal values have equal texts, different ones different texts, whatever their kind."""
    equal = [np.arange(3.0), {"b": 2, "a": 1}, (1, "x", None), {3, 1, 2}, AtOnce(0.5), 0.1]
    again = [np.arange(3.0), {"a": 1, "b": 2}, [1, "x", None], {1, 2, 3}, AtOnce(0.5), 0.1]
    assert [identity(thing) for thing in equal] == [identity(thing) for thing in again]
    others = (1, 1.0, "1", "1.0", True, None, [1], np.ones(1), AtOnce, AtOnce())
    assert len({identity(thing) for thing in others}) == len(others)
    assert identity(np.float64(0.1)) == identity(0.1)


def test_one_instance_is_a_study_of_one() -> None:
    """An instance by itself, or the path of its folder, need no list around it."""
    instance = om.generate("scaling.job", seed=1)
    alone = om.study(instance, ["run-now"]).frame
    pd.testing.assert_frame_equal(alone, om.study([instance], ["run-now"]).frame)
