"""A few hundred damaged inputs of each kind, in this process; the command runs a hundred thousand.

`python -m tests.fuzz` adds the watch over time and memory, which needs processes of its own.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.fuzz import folders, plans, record, traces
from tests.fuzz.verdict import BrokenPromiseError, promise
from tests.fuzz.workers import FAILED, REFUSED, Tally, judged, run_cases

CASES = {"folders": 180, "traces": 400, "plans": 60}
SEED = 20_240_601


@pytest.mark.parametrize("kind", CASES)
def test_damaged_inputs_end_in_a_result_or_in_one_of_our_errors(tmp_path, kind):
    """Never a foreign exception, a warning, a changed file or a broken promise."""
    found = Counter()
    wrong = []
    for case in range(CASES[kind]):
        outcome, what = judged(kind, case, SEED, tmp_path)
        found[outcome] += 1
        if what:
            wrong.append(
                f"{what}\n    python -m tests.fuzz --kind {kind} --seed {SEED} --case {case}"
            )
        assert not list(tmp_path.iterdir())
    assert not wrong, "\n".join(wrong)
    # Damage that is always refused, or never, proves nothing.
    assert found[REFUSED] > CASES[kind] / 10
    assert CASES[kind] - found[REFUSED] > CASES[kind] / 10


def test_every_outcome_has_a_name():
    """The workers keep outcomes by number: an unknown one would be an exception in a process."""
    for module in (folders, plans, traces):
        assert "refused" in module.OUTCOMES
        assert len(set(module.OUTCOMES)) == len(module.OUTCOMES)


@pytest.mark.parametrize("name", [kind.name for kind in traces.KINDS])
def test_sound_traces_are_read(tmp_path, name):
    """What the damage starts from is sound: some way to read the file accepts it."""
    import random

    kind = next(kind for kind in traces.KINDS if kind.name == name)
    path = tmp_path / kind.file
    path.write_bytes(traces.sound(name))
    for attempt in range(30):
        try:
            kind.read(path, random.Random(attempt))
            return
        except ValueError:
            continue
    pytest.fail("no way to read the sound file")


def test_workers_run_every_case_as_it_runs_alone(tmp_path):
    """A case is the same wherever it runs: two processes find what this one does."""
    tally = run_cases("traces", range(30), SEED, jobs=2)
    assert not tally.failures
    assert tally.outcomes == Counter(judged("traces", k, SEED, tmp_path)[0] for k in range(30))


def test_the_judge_sees_foreign_exceptions_warnings_and_broken_promises(tmp_path, monkeypatch):
    """A judge that lets these pass would find nothing."""

    def foreign(*_):
        raise KeyError("x")

    def warned(*_):
        import warnings

        warnings.warn("odd", RuntimeWarning, stacklevel=1)

    def broken(*_):
        promise(False, "a thing")

    for run, words in ((foreign, "KeyError"), (warned, "RuntimeWarning"), (broken, "a thing")):
        monkeypatch.setattr(traces, "run", run)
        outcome, what = judged("traces", 0, 0, tmp_path)
        assert outcome == FAILED
        assert words in what
    with pytest.raises(BrokenPromiseError):
        promise(False, "a thing")


def test_the_record_says_what_was_run():
    """Counts, shares, versions and the command stand in the page."""
    tally = Tally("traces", 4, Counter({"read": 3, FAILED: 1}), seconds=2.0)
    text = record.page(record.content([tally], seed=7, jobs=2), ["--cases", "4"])
    for word in ("--cases 4", "seed 7", "75.0%", "numpy", "| traces | 4 | 0 |"):
        assert word in text
    assert Path(record.FILE).parts[-3:] == ("tests", "results", "fuzz.md")
