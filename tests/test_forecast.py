"""Forecasts: what each kind uses, and what it cannot know."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from optmodels.errors import InputError, UsageError
from optmodels.forecast import (
    DayBeforeForecast,
    FixedForecast,
    PersistenceForecast,
    PublishedForecast,
    VintageForecast,
    adversarial,
    make_forecast,
    noisy,
)
from optmodels.scaling.job.instance import JobInstance

TRUTH = np.array([300.0, 200, 100, 150, 400, 120, 90, 350])
START = pd.Timestamp("2022-06-01", tz="UTC")


def spec(name, truth=TRUTH, **words):
    """Forecast of this name."""
    rng = np.random.default_rng(words.pop("seed", 0))
    return make_forecast(name, truth, slots_per_day=words.pop("day", 4), rng=rng, **words)


@pytest.mark.parametrize(
    "name", ["perfect", "persistence", "day-before", "noise:0.3", "adversarial:0.5"]
)
def test_every_forecast_starts_with_what_is_seen_and_ends_with_the_horizon(name):
    """One value per slot from now to the last; the first is the revealed one, not a forecast."""
    made = spec(name)
    for slot in range(8):
        values = made.at(slot, TRUTH[: slot + 1])
        assert values.shape == (8 - slot,)
        assert values[0] == TRUTH[slot]
        assert np.isfinite(values).all()


def test_perfect_is_the_truth_and_cannot_be_changed_through_its_answers():
    """Each answer is a copy: a policy that writes to it changes nothing."""
    made = spec("perfect")
    answer = made.at(2, TRUTH[:3])
    assert answer.tolist() == TRUTH[2:].tolist()
    answer[:] = 0
    assert made.at(2, TRUTH[:3]).tolist() == TRUTH[2:].tolist()
    assert made.at(2, TRUTH[:3]).base is None


def test_persistence_uses_the_present_value_only():
    """Whatever the past, whatever the truth."""
    made = PersistenceForecast(5)
    assert made.at(1, np.array([9.0, 7.0])).tolist() == [7, 7, 7, 7]
    assert made.at(4, np.array([1.0, 2, 3, 4, 5])).tolist() == [5]


def test_day_before_with_history_repeats_the_same_hour():
    """Slot t + 1 is like the slot a day before it, and so on around the day."""
    seen = np.array([10.0, 11, 12, 13, 20, 21])  # four slots of history, slots 0 and 1 seen
    made = DayBeforeForecast(8, 4)
    assert made.at(1, seen).tolist() == [21, 12, 13, 20, 21, 12, 13]


def test_day_before_without_history_repeats_what_has_been_seen():
    """Less than a day is known: nothing is made up."""
    made = DayBeforeForecast(6, 4)
    assert made.at(0, np.array([5.0])).tolist() == [5] * 6
    assert made.at(1, np.array([5.0, 6.0])).tolist() == [6, 5, 6, 5, 6]


def test_forecasts_of_the_past_never_use_the_truth():
    """Another truth behind the same past gives the same answers."""
    for name in ("persistence", "day-before"):
        one, two = spec(name), spec(name, truth=TRUTH[::-1].copy())
        for slot in range(8):
            seen = TRUTH[: slot + 1]
            assert one.at(slot, seen).tolist() == two.at(slot, seen).tolist()


def test_noise_is_seeded_and_within_its_range():
    """Same seed, same forecast; drawn once per slot, so it is never revised; ± S at most."""
    made = spec("noise:0.3", seed=5)
    again = spec("noise:0.3", seed=5)
    other = spec("noise:0.3", seed=6)
    first = made.ahead(0, TRUTH[:1])
    assert first.tolist() == again.ahead(0, TRUTH[:1]).tolist()
    assert first.tolist() != other.ahead(0, TRUTH[:1]).tolist()
    assert made.ahead(3, TRUTH[:4]).tolist() == first[3:].tolist()
    many = noisy(np.ones(20_000), 0.3, np.random.default_rng(1)).ahead(0, np.ones(1))
    assert 0.7 <= many.min() < 0.701
    assert 1.299 < many.max() <= 1.3
    assert spec("noise:0").ahead(0, TRUTH[:1]).tolist() == TRUTH[1:].tolist()


def test_the_adversary_turns_the_series_upside_down():
    """Z = 0 is the truth, Z = 1 swaps the cheapest and the dearest slot, between is a blend."""
    truth = adversarial(TRUTH, 0).ahead(0, TRUTH[:1])
    mirror = adversarial(TRUTH, 1).ahead(0, TRUTH[:1])
    half = adversarial(TRUTH, 0.5).ahead(0, TRUTH[:1])
    assert truth.tolist() == TRUTH[1:].tolist()
    assert mirror.tolist() == (490 - TRUTH[1:]).tolist()
    assert np.allclose(half, 245)


def instance_with_forecasts(rows):
    """Four slots, and forecasts (issued at hour, for hour, value)."""
    carbon = pd.DataFrame(
        {"time": pd.date_range(START, periods=4, freq="h"), "carbon_g_per_kwh": [1.0, 2, 3, 4]}
    )
    frame = pd.DataFrame(rows, columns=["issue_time", "time", "carbon_g_per_kwh"])
    for name in ("issue_time", "time"):
        frame[name] = START + pd.to_timedelta(frame[name], unit="h")
    parameters = {"work": 1.0, "switching_g": 0.0, "deadline_slots": 4, "slot_minutes": 60}
    return JobInstance(parameters, {"carbon": carbon, "forecast": frame.sample(frac=1)})


def test_vintages_show_the_newest_issue_and_none_of_the_future():
    """A value issued after the start of a slot is not visible in it, not even by a minute."""
    table = instance_with_forecasts(
        [
            (-5, 1, 10.0),
            (-5, 2, 20.0),
            (-5, 3, 30.0),
            (0, 2, 21.0),  # issued at the very start of slot 0: visible in it
            (1 / 60, 3, 31.0),  # a minute after the start of slot 0: visible from slot 1 on
            (2, 3, 32.0),
            (-9, 3, 99.0),  # older than another: never visible
            (-5, 9, 77.0),  # beyond the horizon
        ]
    ).vintages()
    expected = [
        [np.nan, 10, 21, 30],
        [np.nan, 10, 21, 31],
        [np.nan, 10, 21, 32],
        [np.nan, 10, 21, 32],
    ]
    np.testing.assert_array_equal(table, expected)


def test_vintages_equal_a_slow_recomputation():
    """Random issues, against the definition written out."""
    rng = np.random.default_rng(2)
    rows = {}
    for _ in range(60):
        valid = int(rng.integers(-1, 6))
        issue = round(float(valid - rng.uniform(0, 5)), 2)
        rows[issue, valid] = float(rng.integers(1, 1000))
    inst = instance_with_forecasts([(i, v, x) for (i, v), x in rows.items()])
    table = inst.vintages()
    for now in range(4):
        for slot in range(4):
            known = [(i, x) for (i, v), x in rows.items() if v == slot and i <= now]
            expected = max(known)[1] if known else np.nan
            np.testing.assert_equal(table[now, slot], expected)


def test_vintages_fall_back_to_the_day_before_where_none_was_issued():
    """A gap in the forecast is filled from the past, never from the truth."""
    table = np.full((4, 4), np.nan)
    table[1, 3] = 50.0
    made = VintageForecast(table, 2)
    assert made.at(1, np.array([7.0, 8.0])).tolist() == [8, 7, 50]
    assert made.at(0, np.array([7.0])).tolist() == [7, 7, 7, 7]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("perfct", "perfect"),
        ("", "Known"),
        ("noise", "noise:0.2"),
        ("noise:", "noise:0.2"),
        ("noise:x", "noise:0.2"),
        ("noise:1", "size < 1"),
        ("noise:-0.1", "size < 1"),
        ("noise:nan", "size < 1"),
        ("adversarial:1.01", "0 to 1"),
        ("adversarial:nan", "0 to 1"),
        ("adversarial", "adversarial:0.2"),
        ("perfect:1", "takes no number"),
        ("day-before:", None),
        ("vintages", "table 'forecast'"),
        (object(), "a name"),
        ([[1.0], [2.0, 3.0]], "a name"),
    ],
)
def test_bad_specs_are_refused(name, words):
    """With the right way to write them."""
    if words is None:
        assert isinstance(spec(name), DayBeforeForecast)
        return
    with pytest.raises(UsageError, match=words):
        spec(name)


@pytest.mark.parametrize("values", [[1.0], np.ones((8, 1)), [np.nan] * 8, [np.inf] * 8, 3.0])
def test_arrays_must_have_one_finite_value_per_slot(values):
    """Wrong length, wrong shape, NaN, infinity, a single number."""
    with pytest.raises(InputError, match="8 finite values"):
        spec(values)


def test_arrays_and_objects_pass():
    """A list becomes a fixed forecast, a copy; an object and None stay what they are."""
    values = TRUTH.copy()
    made = spec(values)
    values[:] = 0
    assert made.ahead(0, TRUTH[:1]).tolist() == TRUTH[1:].tolist()
    ready = FixedForecast(TRUTH)
    assert spec(ready) is ready
    assert spec(None) is None


COLUMNS = np.column_stack([TRUTH, TRUTH[::-1] * 10, np.arange(8.0)])


@pytest.mark.parametrize(
    "name", ["perfect", "persistence", "day-before", "noise:0.3", "adversarial:0.5"]
)
def test_several_columns(name):
    """A row per slot; each column is forecast as if it were alone (noise apart)."""
    made = spec(name, COLUMNS)
    for slot in range(8):
        values = made.at(slot, COLUMNS[: slot + 1])
        assert values.shape == (8 - slot, 3)
        assert values[0].tolist() == COLUMNS[slot].tolist()
        assert np.isfinite(values).all()
        if name.startswith("noise"):
            continue
        for k in range(3):
            alone = spec(name, COLUMNS[:, k].copy()).at(slot, COLUMNS[: slot + 1, k])
            assert values[:, k].tolist() == alone.tolist()


def test_noise_differs_from_column_to_column():
    """Errors of two sites are two errors."""
    ratio = spec("noise:0.3", COLUMNS).ahead(0, COLUMNS[:1]) / COLUMNS[1:]
    assert not np.isclose(ratio[:, 0], ratio[:, 1]).any()


def test_arrays_of_several_columns():
    """A fixed forecast has the shape of the truth, and says so where it has not."""
    assert spec(COLUMNS, COLUMNS).ahead(5, COLUMNS[:6]).tolist() == COLUMNS[6:].tolist()
    with pytest.raises(InputError, match="8 finite rows of 3 values"):
        spec(TRUTH, COLUMNS)


def test_published_forecasts_are_known_until_the_end_of_the_day():
    """Two slots a day: today as published, tomorrow like the day before, gaps like that too."""
    values = np.array([[1.0, np.nan], [2.0, np.nan], [3.0, 30.0], [4.0, np.nan]])
    made = PublishedForecast(values, [2, 2, 4, 4], 2)
    seen = np.array([[10.0, 50.0]])
    assert made.ahead(0, seen).tolist() == [[2, 50], [10, 50], [10, 50]]
    seen = np.array([[10.0, 50.0], [11.0, 51.0], [12.0, 52.0]])
    assert made.ahead(2, seen).tolist() == [[4, 51]]
    assert made.ahead(3, np.ones((4, 2))).shape == (0, 2)
    assert spec("published", COLUMNS, published=made) is made
    with pytest.raises(UsageError, match="of the day before"):
        spec("published", COLUMNS)
