"""Instances from wind series: scales are those asked for, and every step keeps its time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.errors import InputError, UsageError
from optmodels.routing.sites.from_wind import fleet_rate, from_wind, split_nodes
from optmodels.routing.sites.instance import RoutingInstance
from optmodels.routing.sites.measured import azure_mix, class_table

NAMEPLATE = {"a": 300.0, "b": 100.0}
LINKS = pd.DataFrame(
    {"origin": ["x", "x", "y", "y"], "site": ["a", "b", "a", "b"], "rtt_ms": [5.0, 9.0, 30.0, 2.0]}
)


def wind(step: str = "1h", count: int = 72) -> pd.DataFrame:
    """Power of two sites which differs in every step."""
    times = pd.date_range("2022-03-01T00:00Z", periods=count, freq=step, name="time")
    rising = np.arange(count, dtype=float)
    return pd.DataFrame({"a": rising + 1, "b": 90 - rising % 7}, index=times)


def made(power: pd.DataFrame | None = None, **options: Any) -> RoutingInstance:
    """Instance of one day after a day, unless said otherwise."""
    settings_ = {"nameplate_kw": NAMEPLATE, "links": LINKS, "gpus": 80, "days": 1, **options}
    return from_wind(wind() if power is None else power, **settings_)


def test_scales_are_those_asked_for() -> None:
    """Mean wind is the ratio of the full power, mean demand the load of the capacity.

    A scale per site, by the maximum, or over all the series instead of the instance would fail.
    """
    instance = made(wind_ratio=0.6, load=0.5)
    profile = instance.profile
    full = 80 * float((profile.kw / profile.tp).max())
    assert instance.power_kw.sum(axis=1).mean() == pytest.approx(0.6 * full)
    raw = wind().to_numpy()[24:48].repeat(12, axis=0)
    assert instance.power_kw / raw == pytest.approx(instance.power_kw[0, 0] / raw[0, 0])
    scale = instance.power_kw[0, 0] / raw[0, 0]
    assert instance.nameplate_kw == pytest.approx(np.array([300, 100]) * scale)
    capacity = fleet_rate(
        80,
        azure_mix()["share"],
        class_table(),
        instance.tables["profile"],
        LINKS,
    )
    assert instance.demand.sum(axis=(1, 2)) == pytest.approx(0.5 * capacity)
    assert instance.gpus.tolist() == [64, 16]
    assert instance.idle_kw == 0
    assert made(keep_warm=True).idle_kw == 0.25


def test_size_scales_everything() -> None:
    """A hundred times the GPUs, a hundred times the wind and the demand; times stay."""
    small, large = made(), made(gpus=8000)
    assert large.power_kw == pytest.approx(100 * small.power_kw)
    assert large.demand == pytest.approx(100 * small.demand)
    assert large.nameplate_kw == pytest.approx(100 * small.nameplate_kw)
    assert large.times.equals(small.times)


def test_capacity_by_hand() -> None:
    """Two classes, two rows each: the best row that keeps the limits at the nearest site counts."""
    classes = pd.DataFrame(
        {
            "class": ["A", "B"],
            "ttft_limit_s": [0.2, 0.2],
            "tbt_limit_s": [0.1, 0.1],
            "e2e_limit_s": [10.0, 10.0],
        }
    )
    profile = pd.DataFrame(
        {
            "class": ["A", "A", "A", "B"],
            "tp": [2, 4, 4, 8],
            "requests_per_s": [1.0, 4.0, 40.0, 2.0],
            "ttft_s": [0.1, 0.1, 0.199, 0.1],
            "tbt_s": [0.05] * 4,
            "e2e_s": [1.0] * 4,
        }
    )
    shares = pd.Series({"A": 0.75, "B": 0.25})
    # A needs 1 GPU per request/s (the fast row is 1 ms late at 2 ms), B needs 4: 1.75 in the mix.
    assert fleet_rate(70, shares, classes, profile, LINKS) == pytest.approx(40)
    near = LINKS.assign(rtt_ms=1.0)
    assert fleet_rate(70, shares, classes, profile, near) == pytest.approx(70 / (0.075 + 1))
    far = LINKS.assign(rtt_ms=150.0)
    with pytest.raises(InputError) as caught:
        fleet_rate(70, shares, classes, profile, far)
    assert len(caught.value.flaws) == 2
    alone = pd.Series({"A": 1.0, "B": 0.0})
    assert fleet_rate(70, alone, classes, profile, LINKS) == pytest.approx(70)


def test_steps_and_lines_between_hours() -> None:
    """Steps keep the mean of every hour; a line passes through its middle, half way between two."""
    steps, lines = made(), made(between="line")
    hours = steps.power_kw.reshape(24, 12, 2)
    assert np.ptp(hours, axis=1) == pytest.approx(0)
    a = lines.power_kw[:, 0] / lines.power_kw[:, 0].mean()
    assert np.diff(a) == pytest.approx(np.diff(a)[0])  # site a rises by the same in every hour
    # With an odd number of periods one has the middle of the hour.
    by_20 = made(between="line", period_seconds=1200, slot_minutes=20).power_kw
    raw = wind().to_numpy()[24:48]
    assert by_20[1::3] / by_20[1, 0] == pytest.approx(raw / raw[0, 0])
    assert by_20[2, 1] / by_20[1, 1] == pytest.approx((2 * raw[0, 1] + raw[1, 1]) / 3 / raw[0, 1])


def test_short_steps_are_averaged() -> None:
    """Three steps of 5 minutes make a period of 15; the begin decides which three."""
    power = wind("5min", 72)
    instance = made(power, days=0.125, past_days=0, period_seconds=900, begin="2022-03-01T00:10Z")
    raw = power.to_numpy()[2:38].reshape(12, 3, 2).mean(axis=1)
    assert instance.power_kw / instance.power_kw[0, 0] == pytest.approx(raw / raw[0, 0])
    assert instance.times[0] == pd.Timestamp("2022-03-01T00:10Z")
    assert instance.past_kw is None


def test_past_and_forecast_have_the_same_scale() -> None:
    """What was before the first period is told, what was published has its own hours."""
    instance = made(published_kw=wind() * 1.1)
    assert instance.published_kw == pytest.approx(instance.power_kw * 1.1)
    assert instance.past_kw is not None
    assert len(instance.past_kw) == 288
    assert instance.past_kw[0, 0] / instance.power_kw[0, 0] == pytest.approx(1 / 25)
    swapped = made(published_kw=(wind() * 1.1)[["b", "a"]])
    assert swapped.published_kw == pytest.approx(instance.published_kw)


def test_demand_has_the_course_of_the_rates() -> None:
    """Shares by origin and class are constant, the sum follows the rates with the mean load."""
    rates = pd.Series(np.arange(1.0, 145.0), index=np.arange(144) * 600.0)
    instance = made(rates=rates, origin_shares={"x": 3, "y": 1})
    total = instance.demand.sum(axis=(1, 2))
    assert total.mean() == pytest.approx(made().demand.sum(axis=(1, 2)).mean())
    assert total[287] / total[0] == pytest.approx(144)
    assert instance.demand[:, 0] == pytest.approx(3 * instance.demand[:, 1])
    by_class = instance.demand[0, 0] / instance.demand[0, 0].sum()
    assert by_class == pytest.approx(azure_mix()["share"].sort_index().to_numpy())
    with pytest.raises(InputError, match="ends 3600 s"):
        made(rates=rates.iloc[:6])


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.integers(1, 5000), st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=8))
def test_nodes_are_split_whole(nodes: int, weights: list[float]) -> None:
    """None is lost, and no site is more than one node from its share."""
    found = split_nodes(nodes, np.array(weights))
    exact = nodes * np.array(weights) / sum(weights)
    assert found.sum() == nodes
    assert (np.abs(found - exact) < 1 + 1e-9).all()


def test_refusals() -> None:
    """Sizes are refused together; series that do not fit, by their name."""
    with pytest.raises(UsageError) as caught:
        made(gpus=81, wind_ratio=0, load=-1, days=0.0001, past_days=-1)
    for field in ("gpus", "wind_ratio", "load", "days", "past_days"):
        assert f"{field} is" in str(caught.value)
    with pytest.raises(UsageError, match="choice for between"):
        made(between="spline")
    for options, words in (
        ({"nameplate_kw": {"a": 1.0}}, "nameplate_kw is for a; the sites are a, b"),
        ({"origin_shares": {"x": 1}}, "origin_shares is for x"),
        ({"origin_shares": {"x": 0, "y": 0}}, "not all zero"),
        ({"published_kw": wind()[["a"]]}, "published_kw is for a"),
    ):
        with pytest.raises(UsageError, match=words):
            made(**options)
    gap = wind().drop(wind().index[30])
    for power, options, words in (
        (wind(), {"days": 3}, "does not cover 864 periods"),
        (wind(), {"begin": "2022-03-01T12:00Z"}, "does not cover 288 periods"),
        (wind(), {"begin": "2022-03-02T00:00:30Z"}, "does not cover"),
        (gap, {}, "equal steps"),
        (wind("7min", 720), {}, "steps of 7 min"),
        (wind() * 0, {}, "zero in all"),
        (-wind(), {}, "negative"),
        (wind().tz_localize(None), {}, "with a zone"),
    ):
        with pytest.raises(InputError, match=words):
            made(power, **options)


def test_tables_that_are_no_tables_of_a_fleet() -> None:
    """Missing columns and impossible numbers of mix, profile and links, none as a stray error."""
    for options, words in (
        ({"mix": azure_mix().drop(columns="share")}, "mix, share': is missing"),
        ({"mix": azure_mix().assign(share=0.0)}, "mix, share': is zero"),
        ({"mix": azure_mix().assign(share=-1.0)}, "-1.0 is not usable in 9 rows"),
        ({"profile": pd.DataFrame({"tp": [0]})}, "e2e_s': is missing"),
        ({"links": LINKS.drop(columns="origin")}, "links, origin': is missing"),
        ({"links": LINKS.assign(rtt_ms="near")}, "rtt_ms': 'near' is not usable"),
    ):
        with pytest.raises(InputError, match=words):
            made(**options)
    with pytest.raises(InputError, match="no numbers"):
        made(wind().assign(a="calm"))
    assert made(links=LINKS.assign(rtt_ms=0.0)).rtt_s.max() == 0
