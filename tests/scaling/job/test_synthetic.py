"""The generator of synthetic jobs: reproducible, plausible, and refusing what it cannot make."""

from __future__ import annotations

import shlex

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels import api
from optmodels.cli.options import pairs
from optmodels.cli.touring import bundled
from optmodels.errors import InputError, UsageError
from optmodels.scaling.job.synthetic import SIZES, generate

# Worst cases were found by search, see tests/studies/test_adversary.py.
FOLDERS = sorted(
    path.parent
    for path in (bundled() / "scaling/job").glob("*/datapackage.json")
    if not path.parent.name.startswith("worst-for-")
)


def test_fingerprint_is_pinned() -> None:
    """A seed means the same instance on every platform and in every later release."""
    made = generate(7)
    assert made.fingerprint.startswith("62464138442bfd3a")
    rich = generate(7, servers=4, forecast_every_hours=12, work_min=3, work_max=20, slot_minutes=30)
    assert rich.fingerprint.startswith("57c551c4a944d986")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_bundled_instances_are_what_their_command_makes(folder) -> None:  # type: ignore[no-untyped-def]
    """The origin of a bundled instance, run again, gives the same fingerprint."""
    stored = api.load(folder)
    command, _, note = (stored.origin or "").partition("  # ")
    assert "synthetic" in note
    words = shlex.split(command)
    assert words[:4] == ["optmodels", "generate", "scaling.job", "OUT"]
    options = dict(enumerate(words))
    seed = int(words[words.index("--seed") + 1])
    sizes = pairs([options[i + 1] for i, word in options.items() if word == "--size"], "--size")
    assert api.generate("scaling.job", seed=seed, **sizes) == stored


@given(
    seed=st.integers(0, 2**40),
    hours=st.integers(1, 60),
    minutes=st.sampled_from([15, 20, 30, 60]),
    days=st.integers(0, 3),
    servers=st.integers(0, 9),
    every=st.sampled_from([0, 1, 6, 24]),
)
@settings(deadline=None, derandomize=True, max_examples=25)
def test_every_size_makes_a_valid_instance(
    seed: int, hours: int, minutes: int, days: int, servers: int, every: int
) -> None:
    """Horizon, history, profile and forecasts are as asked for, and values are plausible."""
    made = generate(
        seed,
        hours=hours,
        slot_minutes=minutes,
        history_days=days,
        servers=servers,
        forecast_every_hours=every,
    )
    assert made.slots == hours * 60 // minutes
    assert made.history.size == days * 24 * 60 // minutes
    assert made.carbon.min() >= 5
    assert np.array_equal(made.carbon, np.round(made.carbon, 2))
    assert made.times[0] == pd.Timestamp(str(SIZES["start"]))
    assert made.measured[0].size == max(1, servers)
    # The profile is concave, so all its levels are on the hull (beside off).
    assert made.profile.servers.size == max(1, servers) + 1
    vintages = made.vintages()
    assert (vintages is None) == (every == 0)
    if vintages is not None:
        assert not np.isnan(np.diagonal(vintages)).any()


def test_grid_has_a_solar_valley() -> None:
    """On average noon is the cleanest time and the evening the dirtiest, local time."""
    made = generate(1, hours=24 * 60)
    local = (made.times.hour - 8) % 24
    by_hour = pd.Series(made.carbon).groupby(local).mean()
    assert 11 <= by_hour.idxmin() <= 14
    assert 18 <= by_hour.idxmax() <= 22


def test_solar_noise_and_level_are_what_they_say() -> None:
    """Without sun and noise the level scales the whole series; more sun digs a deeper valley."""
    plain = generate(1, solar=0, noise=0)
    assert generate(1, solar=0, noise=0, mean_g_per_kwh=500).carbon == pytest.approx(
        2 * plain.carbon, abs=0.011
    )
    assert generate(1, noise=0, solar=0.9).carbon.min() < generate(1, noise=0).carbon.min()
    assert generate(2, solar=0, noise=0) == plain.replace()


def test_hidden_length() -> None:
    """Bounds hide the work, a prediction goes with it."""
    made = generate(1, work=10, work_min=5, work_max=20, work_predicted=12)
    assert made.length_hidden
    assert made.parameters.work_predicted == 12


@pytest.mark.parametrize(
    ("sizes", "field"),
    [
        ({"hours": 0}, "hours"),
        ({"hours": 2.5}, "hours"),
        ({"hours": float("nan")}, "hours"),
        ({"hours": 1e9}, "hours"),
        ({"hours": "many"}, "hours"),
        ({"slot_minutes": 0}, "slot_minutes"),
        ({"slot_minutes": 7}, "hours"),
        ({"history_days": -1}, "history_days"),
        ({"servers": 2.5}, "servers"),
        ({"servers": True}, "servers"),
        ({"mean_g_per_kwh": 0}, "mean_g_per_kwh"),
        ({"solar": 1.5}, "solar"),
        ({"noise": float("inf")}, "noise"),
        ({"work": 0}, "work"),
        ({"work": float("inf")}, "work"),
        ({"switching_g": -1}, "switching_g"),
        ({"work_min": 3}, "work_max"),
        ({"work_min": 3, "work_max": 2}, "work_min"),
        ({"start": 2023}, "start"),
        ({"seed": -1}, "seed"),
        ({"seed": 1.5}, "seed"),
    ],
)
def test_refuses_sizes_out_of_range(sizes: dict[str, object], field: str) -> None:
    """Each wrong size is named."""
    with pytest.raises(InputError, match=f"'{field}'"):
        generate(**{"seed": 1, **sizes})  # type: ignore[arg-type]


def test_all_wrong_sizes_are_told_at_once() -> None:
    """One message for all."""
    with pytest.raises(InputError) as caught:
        generate(-1, hours=0, solar=2, noise=-1)
    assert len(caught.value.flaws) == 4


@pytest.mark.parametrize("start", ["2023-06-01", "2023-06-01T00:00", "soon", "9999-01-01T00:00Z"])
def test_refuses_starts_without_zone(start: str) -> None:
    """A naive start is ambiguous; a word is no time."""
    with pytest.raises((UsageError, InputError)):
        generate(1, start=start)


def test_sizes_are_the_defaults_of_the_generator() -> None:
    """The published defaults make the same instance as no sizes at all."""
    assert generate(4, **SIZES) == generate(4)  # type: ignore[arg-type]
