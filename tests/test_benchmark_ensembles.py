"""The benchmark of ensembles: a fair pool, honest rows, checks that can fall short."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import _ensembles_pool  # noqa: E402
import ensembles  # noqa: E402

pytest.importorskip("sklearn", reason="the pool is fitted by scikit-learn")

SMALL = ("lr", "lr-left", "gnb", "tree-5", "knn-3")


@pytest.fixture(scope="module")
def own() -> _ensembles_pool.Fitted:
    """Five quickly fitted models of the pool."""
    every = _ensembles_pool.models(0)
    assert len(every) == 24
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_ensembles_pool, "models", lambda seed: {n: every[n] for n in SMALL})
        patch.setattr(_ensembles_pool, "_TIMED", 2)
        return _ensembles_pool.fitted.__wrapped__(0, True)


@pytest.fixture(scope="module")
def frame(own: _ensembles_pool.Fitted) -> pd.DataFrame:
    """Rows of one small cell and of all proofs, made small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ensembles, "fitted", lambda seed, noisy: own)
        patch.setattr(ensembles, "TINY_MODELS", 4)
        patch.setattr(ensembles, "TINY_SAMPLES", 20)
        patch.setattr(ensembles, "MANY_S", 5.0)
        cell = ensembles.Cell(0, True, "small", ("best", "soft"))
        rows = ensembles.work(cell)
        for kind in ("four", "five", "tiny"):
            rows += ensembles.work(ensembles.Proof(kind, "best", 0))
    rows.append({"part": "many", "rule": "best", "gap": 0.0})
    rows += [
        {**row, "rule": rule} for rule in ensembles.RULES for row in rows if row["part"] == "four"
    ]
    return pd.DataFrame(rows)


def test_pool_is_split_in_three(own: _ensembles_pool.Fitted) -> None:
    """Samples to fit, to select and to report are apart; scores are probabilities."""
    (select, labels), (report, held) = own.validation, own.holdout
    assert (len(labels), len(held)) == (359, 360)
    assert select.shape == (5, 359, 10)
    np.testing.assert_allclose(select.sum(axis=2), 1, atol=1e-9)
    accuracy = (report.argmax(axis=2) == held).mean(axis=1)
    assert (accuracy > 0.3).all()
    assert accuracy.max() > 0.7
    assert min(own.pool.memory_mb) > 0


def test_every_check_is_judged(frame: pd.DataFrame) -> None:
    """All claims but those on hold-out samples hold for any pool, and can fall short."""
    checks = {check.name: check for check in ensembles.checks_of(frame)}
    assert len(checks) == 15
    luck = [name for name in checks if "hold-out" in name]
    assert len(luck) == 2
    assert [str(c) for name, c in checks.items() if name not in luck and not c.ok] == []
    wrong = frame.copy()
    accuracy = wrong["part"] == "accuracy"
    wrong.loc[accuracy & (wrong["method"] == "greedy"), ["expected", "worst"]] = 1.0
    wrong["cpu_seconds"] = 31.0
    wrong["difference"] = 1e-8
    wrong["gap"] = 0.02
    failed = [check.name for check in ensembles.checks_of(wrong) if not check.ok]
    assert len([name for name in failed if name not in luck]) == 11
    empty = ensembles.checks_of(frame[frame["part"] == "accuracy"])
    assert sum(not check.ok for check in empty) >= 10


def test_tables_hold_what_was_measured(frame: pd.DataFrame) -> None:
    """A row per method, a column per rule; robust plans are at least as robust."""
    table = ensembles.accuracy_table(frame, "expected")
    assert set(table["method"]) == {*ensembles.EXACT, *ensembles.POLICIES}
    assert {"best", "soft"} <= set(table.columns)
    robust = ensembles.robustness_table(frame)
    gain = robust["worst case of the robust optimum"]
    assert (gain >= robust["worst case of the expected optimum"] - 1e-9).all()
    assert (robust["price: expectation given up"] >= -1e-9).all()
    assert len(ensembles.proof_table(frame)) == (frame["part"] != "accuracy").sum()
    assert len(ensembles.notes_of(frame)) == 4


def test_sizes_keep_every_part() -> None:
    """Quick or full, everything that is judged is run, every rule on four servers."""
    for size in (ensembles.QUICK, ensembles.FULL):
        parts = ensembles.parts_of(size, 0)
        proofs = [part for part in parts if isinstance(part, ensembles.Proof)]
        assert {part.kind for part in proofs} == {"four", "five", "tiny", "many"}
        assert {part.rule for part in proofs if part.kind == "four"} == set(ensembles.RULES)
        assert any(isinstance(part, ensembles.Cell) and "soft" in part.rules for part in parts)
    assert replace(ensembles.QUICK, seeds=2).seeds == 2
