"""The instance: arrays, round trips, and everything that is refused."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from optmodels.errors import InputError
from optmodels.routing.sites.instance import RoutingInstance
from optmodels.routing.sites.synthetic import generate
from tests.routing.sites.instances import START, routing, small, toy_h1


def test_arrays_by_period_origin_site_and_class() -> None:
    """Rows in any order give the same arrays; a transposed reshape would mix up the labels."""
    inst = small(1, periods=5, published_kw=np.ones((5, 3)), past_kw=np.ones((2, 3)))
    tables = inst.tables
    mixed = {name: frame.sample(frac=1.0, random_state=3) for name, frame in tables.items()}
    again = inst.replace(**mixed)
    assert again == inst
    demand = tables["demand"].set_index(["time", "origin", "class"])["requests_per_s"]
    power = tables["power"].set_index(["time", "site"])["power_kw"]
    trip = tables["links"].set_index(["origin", "site"])["rtt_ms"]
    for t, time in enumerate(again.times):
        for s, site in enumerate(again.sites):
            assert again.power_kw[t, s] == power[time, site]
            for o, origin in enumerate(again.origins):
                assert again.rtt_s[o, s] == trip[origin, site] / 1000
                for c, name in enumerate(again.classes):
                    assert again.demand[t, o, c] == demand[time, origin, name]
    assert again.power_kw.shape == (5, 3)
    assert again.demand.shape == (5, 2, 3)
    assert again.past_kw is not None
    assert again.past_kw.shape == (2, 3)
    assert again.published_kw is not None
    assert again.times[0] == START


def test_nothing_can_be_written_to() -> None:
    """Arrays are read-only for good: their memory is not numpy's."""
    inst = small(1, periods=4)
    for values in (inst.power_kw, inst.demand, inst.rtt_s, inst.weight, inst.profile.rate):
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 1.0
        with pytest.raises(ValueError, match="WRITEABLE"):
            values.flags.writeable = True
    for whole in (inst.gpus, inst.profile.tp, inst.arcs):
        with pytest.raises(ValueError, match="read-only"):
            whole[0] = 1


def test_steps_and_idle_power() -> None:
    """Periods per slot and day; idle GPUs draw power only where they are kept warm."""
    inst = toy_h1(period_seconds=60.0, slot_minutes=10.0, gpu_idle_kw=0.1)
    assert (inst.periods_per_slot, inst.periods_per_day) == (10, 1440)
    assert inst.idle_kw == 0
    assert inst.replace(keep_warm=True).idle_kw == 0.1


def test_the_grid_of_some_sites() -> None:
    """A site that draws nothing needs no grid; where nothing is given stands 0."""
    inst = small(1, periods=3, backup_kw=[5.0, 0.0, 0.0], carbon=300.0, usd=0.2)
    grid = inst.tables["grid"]
    part = inst.replace(grid=grid[grid["site"] == "s00"])
    assert part.carbon[:, 0].tolist() == [300.0] * 3
    assert part.price[:, 1].tolist() == [0.0] * 3
    assert not toy_h1().carbon.any()


def test_round_trips(tmp_path: Path) -> None:
    """CSV, Parquet and pickle keep the fingerprint, with a column that is called "class"."""
    inst = small(2, periods=4, published_kw=np.ones((4, 3)))
    inst.save(tmp_path / "a")
    inst.save(tmp_path / "b", table_format="parquet")
    assert RoutingInstance.load(tmp_path / "a") == inst
    assert RoutingInstance.load(tmp_path / "b") == inst
    assert pickle.loads(pickle.dumps(inst)) == inst


def _without(inst: RoutingInstance, table: str, row: int) -> pd.DataFrame:
    return inst.tables[table].drop(index=row)


def _changed(inst: RoutingInstance, table: str, column: str, value: Any) -> pd.DataFrame:
    frame = inst.tables[table]
    frame.loc[frame.index[-1], column] = value
    return frame


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda i: {"slot_minutes": 12.0}, "a whole number of periods"),
        (lambda i: {"slot_minutes": 1.0}, "a whole number of periods"),
        (lambda i: {"period_seconds": 60.0}, "follows a gap"),
        (
            lambda i: {"power": _changed(i, "power", "site", "nowhere")},
            "is not in the table 'sites'",
        ),
        (lambda i: {"power": _without(i, "power", 0)}, "has only 5 of 6 periods"),
        (lambda i: {"power": _changed(i, "power", "power_kw", 1e7)}, "is above the nameplate"),
        (lambda i: {"demand": _without(i, "demand", 3)}, "has only 5 of 6 periods"),
        (lambda i: {"demand": _changed(i, "demand", "class", "XX")}, "table 'classes'"),
        (lambda i: {"demand": _changed(i, "demand", "origin", "mars")}, "table 'links'"),
        (lambda i: {"links": _without(i, "links", 0)}, "has no round trip to site 's00'"),
        (lambda i: {"profile": _changed(i, "profile", "class", "XX")}, "table 'classes'"),
        (lambda i: {"published": i.tables["power"].iloc[:6]}, "the periods of 'power'"),
        (lambda i: {"past": i.tables["power"]}, "is not before the first period"),
        (lambda i: {"sites": _changed(i, "sites", "backup_kw", 1.0)}, "may draw from the grid"),
        (
            lambda i: {
                "sites": _changed(i, "sites", "backup_kw", 1.0),
                "grid": i.tables["power"]
                .assign(carbon_g_per_kwh=1.0, usd_per_kwh=1.0)
                .drop(columns="power_kw")
                .query("site != 's02'"),
            },
            "has the grid of only 0 of 6 periods",
        ),
        (lambda i: {"profile": _changed(i, "profile", "requests_per_s", 0.0)}, "is too small"),
    ],
)
def test_what_is_refused(change: Any, message: str) -> None:
    """Flaws across tables name file, row and fix."""
    inst = small(3, periods=6)
    with pytest.raises(InputError, match=message):
        inst.replace(**change(inst))


def test_flaws_are_told_together() -> None:
    """A wrong site, a missing link and a wrong slot come in one error."""
    inst = small(3, periods=6)
    with pytest.raises(InputError) as caught:
        inst.replace(
            slot_minutes=7.0,
            links=_without(inst, "links", 0),
            power=_changed(inst, "power", "site", "nowhere"),
        )
    text = str(caught.value)
    assert "slot_minutes" in text
    assert "round trip" in text
    assert "nowhere" in text


def test_limits_include_the_round_trip_but_not_between_tokens() -> None:
    """An arc is kept up to the very limit: 0.1 s + 50 ms = 0.15 s, and no microsecond beyond."""
    row = [(0, 1, 1.0, 1.0, 2.0, 0.1, 0.05)]
    kept = [
        routing([[9.0]], [[[1.0]]], row, gpus=4, rtt_ms=50.0, limits=limits).arcs.item()
        for limits in (
            (0.15, 0.05, 2.05),
            (0.15 - 1e-6, 0.05, 2.05),
            (0.15, 0.05 - 1e-6, 2.05),
            (0.15, 0.05, 2.05 - 1e-6),
        )
    ]
    assert kept == [True, False, False, False]


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_synthetic_instances_are_sound(seed: int) -> None:
    """Same seed, same fingerprint; every class can be served somewhere; loads scale the demand."""
    one = generate(seed, hours=2, sites=3, gpus=96, past_hours=1)
    assert one == generate(seed, hours=2, sites=3, gpus=96, past_hours=1)
    assert one != generate(seed + 1, hours=2, sites=3, gpus=96, past_hours=1)
    profile = one.profile
    served = [one.arcs[:, :, profile.row_class == c].any() for c in range(9)]
    assert all(served)
    assert one.past_kw is not None
    assert one.past_kw.shape == (12, 3)
    double = generate(seed, hours=2, sites=3, gpus=96, past_hours=1, load=1.2)
    assert double.demand.sum() == pytest.approx(2 * one.demand.sum(), rel=1e-2)
    # Little's law: an instance serves its batch once in the time that a request is there, or it
    # takes longer because inputs queue.
    assert (profile.rate * profile.e2e <= profile.batch * (1 + 1e-4)).all()


def test_synthetic_fingerprint_is_fixed() -> None:
    """A platform that draws or rounds otherwise would change the fingerprint."""
    made = generate(1, hours=1, sites=2, gpus=64, classes=3, backup_kw=5.0)
    assert made.fingerprint[:16] == "7e2ee2733bb491d8"


def test_synthetic_sizes_are_checked_together() -> None:
    """All sizes that are out of range are listed."""
    with pytest.raises(InputError) as caught:
        generate(1, hours=0, sites=0, classes=10, slot_minutes=7, load=-1)
    for name in ("hours", "sites", "classes", "slot_minutes", "load"):
        assert name in str(caught.value)
