"""The adversary finds by itself what is known to be false, and nothing against what is proven."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

import optmodels as om
from optmodels import registry
from optmodels.errors import UsageError
from optmodels.scaling.job.staircase import Staircase, StaircaseSpace, published_excess
from tests import cli_runner

ROOT = Path(__file__).resolve().parents[2]


def test_it_finds_that_a_rate_cap_breaks_the_published_ratio() -> None:
    """A few hundred staircases suffice, and what is kept is short and round: the bundled instance.

    A search that only draws at random, or that never tries a step again a little dearer, stays
    below the published ratio here.
    """
    stored = om.load(ROOT / "instances/scaling/job/worst-for-roro")
    assert stored.origin is not None
    words = stored.origin.partition("  # ")[0].split()
    assert words[:4] == ["optmodels", "adversary", "scaling.job", "roro"]
    given = dict(zip(words[4::2], words[5::2], strict=True))
    worst = om.adversary(
        "scaling.job",
        "roro",
        measure=given["--measure"],
        evaluations=int(given["--evaluations"]),
        seed=int(given["--seed"]),
    )
    assert worst.instance == stored
    assert worst.value > 1.15
    steps = [(value, len(list(group))) for value, group in groupby(worst.instance.carbon.tolist())]
    assert len(steps) <= 4
    assert worst.value >= 0.985 * worst.found
    assert worst.progress["value"].is_monotonic_increasing
    assert "published ratio" not in repr(worst) and "worst of" in repr(worst)


@pytest.mark.parametrize(
    ("policy", "options"),
    [
        ("roro-rate-limited", {"work": 8.0}),
        ("roro-rate-limited", {"work": 8.0, "switching_g": 20.0}),
        ("roro", {"work": 1.0, "switching_g": 20.0}),
        ("roro-plus", {"work": 1.0, "switching_g": 20.0}),
    ],
)
def test_it_finds_nothing_against_what_is_proven(policy: str, options: dict[str, float]) -> None:
    """Limits with a proof hold on every staircase, and are nearly reached by some."""
    worst = om.adversary(
        "scaling.job", policy, measure="excess", evaluations=250, seed=1, **options
    )
    assert 0.5 < worst.value <= 1 + 1e-9


def test_findings_in_the_tree_hold() -> None:
    """The saved counter-example breaks the published ratio of RORO under a rate cap.

    It does not break the limit of the threshold that is safe under rate caps.
    """
    instance = om.load(ROOT / "instances/scaling/job/worst-for-roro")
    found = om.compare(instance, ["roro", "roro-rate-limited"])
    plan = found.plans["roro"]
    policy = registry.problem("scaling.job").policy("roro")
    assert published_excess(instance, policy, plan, found.optimum) > 1.15
    row = found.frame.set_index("policy").loc["roro-rate-limited"]
    assert row["ratio"] <= row["certified_ratio"]
    assert np.isnan(found.frame.set_index("policy").loc["roro", "certified_ratio"])


def test_equal_seeds_find_equal_instances() -> None:
    """With a limit on evaluations the search is a function of its seed."""
    runs = [
        om.adversary("scaling.job", "one-way-trading", evaluations=40, seed=seed, work=2.0)
        for seed in (5, 5, 6)
    ]
    prints = [worst.instance.fingerprint for worst in runs]
    assert prints[0] == prints[1] != prints[2]


def test_points_stay_within_their_space() -> None:
    """Whatever is drawn, changed or simplified is a valid job within window and deadline."""
    space = StaircaseSpace(work=5.5, switching_g=20.0, most_slots=24)
    rng = np.random.default_rng(0)
    for _ in range(200):
        point = space.start(rng)
        for _ in range(5):
            point = space.near(point, rng)
        points: Iterator[Staircase] = space.simpler(point)
        for candidate in [point, *points][:4]:
            instance = space.instance(candidate)
            assert instance.slots <= 24 + 6 and instance.slots >= candidate.work
            assert instance.carbon.min() >= 50 and instance.carbon.max() <= 500
            assert 0 <= candidate.switching_g <= 20


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (("scaling.job", "rorro"), {}, "roro"),
        (("rightsizing.sites", "largest"), {}, "offers no space"),
        (("scaling.job", "roro"), {"measure": "badness"}, "excess"),
        (("scaling.job", "roro"), {"lowest": 3}, "lower"),
        (("scaling.job", "roro"), {"lower": 500.0, "upper": 50.0}, "0 < lower < upper"),
        (("scaling.job", "roro"), {"switching_g": 400.0}, "less than half"),
        (("scaling.job", "roro"), {"work": 90.0}, "at most half"),
        (("scaling.job", "roro"), {"evaluations": 0}, "from 1"),
        (("scaling.job", "roro"), {"seed": -1}, "from 0"),
    ],
)
def test_wrong_usage(arguments: tuple[str, str], options: dict[str, object], words: str) -> None:
    """Each gives one sentence that says what is allowed."""
    with pytest.raises(UsageError, match=words):
        om.adversary(*arguments, **options)  # type: ignore[arg-type]


def test_the_command_line_searches_tells_and_saves(tmp_path: Path) -> None:
    """The value that is printed is that of the folder that is saved; the same seed, the same."""
    words = ("adversary", "scaling.job", "run-now", "--evaluations", 25, "--seed", 3)
    text = cli_runner.run(*words, "--option", "work=2", "--out", tmp_path / "worst")
    assert text.code == 0, text.err
    assert "worst of" in text.out and f"saved in {tmp_path / 'worst'}" in text.out
    found = cli_runner.run(*words, "--option", "work=2", "--json").json
    kept = om.load(tmp_path / "worst")
    assert (found["problem"], found["policy"], found["measure"]) == (*words[1:3], "ratio")
    assert found["fingerprint"] == kept.fingerprint
    assert found["value"] == pytest.approx(found["total"] / found["optimum"])
    # What makes the instance simple is not counted against the limit.
    assert found["evaluations"] >= 25
    comparison = om.compare(kept, ["run-now"])
    assert comparison.frame["ratio"].iloc[-1] == pytest.approx(found["value"])


def test_a_folder_that_is_taken_is_refused_before_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a search of minutes found would be lost otherwise; so are options that mean nothing."""
    monkeypatch.setattr("optmodels.studies.adversary", lambda *words, **more: pytest.fail("begun"))
    words = ("adversary", "scaling.job", "run-now")
    cli_runner.refused(cli_runner.run(*words, "--out", tmp_path), "exists", "another name")
    cli_runner.refused(cli_runner.run(*words, "--seconds", "0"), "--seconds")
    cli_runner.refused(cli_runner.run(*words, "--option", "work"), "--option")
