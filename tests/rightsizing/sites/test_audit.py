"""The audit: every planted fault is found, and its money is right to the cent by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from optmodels.rightsizing.sites.audit import TOLERANCE, Dispatch, Fleet, audit, tables_of
from optmodels.rightsizing.sites.instance import SitesInstance
from tests.rightsizing.sites.instances import START, fleet

Tables = dict[str, pd.DataFrame]


def equipped(**more: object) -> SitesInstance:
    """Two sites, three hours: one with battery and grid connection, one too far away."""
    given: dict[str, object] = {
        "demand": 8.0,
        "nameplate_kw": [10.0, 10.0],
        "rtt_ms": [10.0, 80.0],
        "battery_kwh": [8.0, 0.0],
        "backup_kw": [2.0, 0.0],
        "battery_hours": 2.0,
        "battery_efficiency": 0.5,
        "module_gpus": 2,
        "unmet_share_max": 0.6,
        "battery_usd_per_kwh_year": 8760.0,
        "carbon": [100.0, 200.0, 300.0],
        "backup_usd_per_kwh": 2.0,
        **more,
    }
    return fleet([[10.0, 5.0], [0.0, 5.0], [4.0, 5.0]], **given)


def sound(inst: SitesInstance) -> Tables:
    """6 GPUs and 4 kWh: charge 2 kW in hour 0, discharge 1 in hour 1, where the grid gives 2."""
    zero = np.zeros((3, 2))
    gpus, charge, discharge, backup = (zero.copy() for _ in range(4))
    gpus[:, 0] = [6, 3, 4]
    charge[0, 0], discharge[1, 0], backup[1, 0] = 2, 1, 2
    sizes = Fleet(np.array([6.0, 0.0]), np.array([4.0, 0.0]))
    return tables_of(inst, sizes, Dispatch(gpus, charge, discharge, backup))


def test_money_by_hand() -> None:
    """K = 1, c_g = 4, wind 1, backup 2 USD per GPU-hour; 13 of 24 GPU-hours served in 3 hours."""
    found = audit(equipped(), sound(equipped()))
    assert found.ok, found
    cost = found.cost
    assert dict(cost.parts) == pytest.approx(
        {
            "installed_usd": 6 * 3,
            "opening_usd": 0,
            "battery_usd": 4 * 3,
            # Direct wind 6, 0 and 4 kWh, and 2 kWh into the battery.
            "wind_usd": 12,
            "backup_usd": 2 * 2,
            "grid_usd": 11 * 4,
        }
    )
    assert cost.total == pytest.approx(90)
    # Unmet 2, 5 and 4 GPU-hours of 1 kWh each, and the 2 kWh of the site in hour 1.
    assert cost["carbon_g"] == pytest.approx(2 * 100 + (5 + 2) * 200 + 4 * 300)
    assert cost["useful_gpu_hours"] == 13


def test_half_hours_cost_half() -> None:
    """The same flows in slots of half an hour: half of every cost, kWh and gram, and half stored.

    An audit that took a slot for an hour passes every test on hourly data. In half an hour at 2 kW
    the battery stores 0.5 kWh at an efficiency of 0.5, and so gives 1 kW for the next one.
    """
    hourly = equipped()
    tables = hourly.tables
    for name in ("power", "grid"):
        tables[name]["time"] = START + (tables[name]["time"] - START) / 2
    halved = SitesInstance({**hourly.parameters.model_dump(), "slot_minutes": 30}, tables)
    plan = sound(hourly)
    whole = audit(hourly, plan).cost
    plan["dispatch"]["time"] = START + (plan["dispatch"]["time"] - START) / 2
    found = audit(halved, plan)
    assert found.ok, found
    assert dict(found.cost.parts) == pytest.approx({k: v / 2 for k, v in whole.parts.items()})
    for name in ("carbon_g", "useful_gpu_hours", "unmet_gpu_hours", "wind_kwh", "backup_kwh"):
        assert found.cost[name] == pytest.approx(whole[name] / 2)
    assert (found.cost["gpus"], found.cost["battery_kwh"]) == (6, 4)
    # Of 0.5 kWh stored, 1.1 kW for half an hour takes 0.55.
    flows("discharge_kw", 1, 1.1)(plan)
    broken = next(v for v in audit(halved, plan).violations if v.limit.startswith("energy in"))
    assert broken.value == pytest.approx(-0.05)
    # Two thirds of the demand may not be left to the grid: shares do not depend on the slots.
    strict = halved.replace(unmet_share_max=0.45)
    (broken,) = audit(strict, sound_at(halved, hourly)).violations
    assert (broken.limit, broken.allowed) == (
        "share of the demand left to the grid",
        "at most 0.45 of the demand",
    )
    assert broken.value == pytest.approx(11 / 24)


def sound_at(inst: SitesInstance, hourly: SitesInstance) -> Tables:
    """The sound plan of `hourly` at the times of `inst`."""
    tables = sound(hourly)
    number = hourly.times.get_indexer(pd.DatetimeIndex(tables["dispatch"]["time"]))
    tables["dispatch"]["time"] = inst.times[number]
    return tables


@pytest.mark.parametrize(
    ("change", "limit", "place", "value", "allowed"),
    [
        (("sizes", "gpus", 0, 12.0), "GPUs of a site", "s0", 12, "0 to 10"),
        (("sizes", "gpus", 1, 2.0), "GPUs of a site", "s1", 2, "0: its round trip exceeds 50 ms"),
        (("sizes", "battery_kwh", 0, 9.0), "battery of a site", "s0", 9, "0 to 8"),
        (("sizes", "gpus", 0, 7.0), "whole modules", "s0", 7, "a multiple of 2 GPUs"),
        (("sizes", "site", 1, "s9"), "site of table 'sizes'", "row 2 (s9)", 2, "a site"),
        (("dispatch", "site", 1, "s7"), "site of table 'dispatch'", "row 2", 2, "a site"),
        (
            ("dispatch", "charge_kw", 0, 3.0),
            "charging power [kW]",
            "2019-01-01T00:00:00+00:00, s0",
            3,
            "0 to 2",
        ),
        (
            ("dispatch", "backup_kw", 1, 3.0),
            "grid power of a site [kW]",
            "2019-01-01T01:00:00+00:00, s0",
            3,
            "0 to 2",
        ),
    ],
)
def test_violations_say_where_and_how_much(
    change: tuple[str, str, int, object], limit: str, place: str, value: float, allowed: str
) -> None:
    """Place, value and allowed range of a violation are those of the fault, rows counted from 1."""
    table, column, row, cell = change
    tables = sound(equipped())
    {"sizes": sizes, "dispatch": flows}[table](column, row, cell)(tables)
    found = [v for v in audit(equipped(), tables).violations if v.limit == limit]
    assert [(v.where, v.value, v.allowed) for v in found] == [(place, value, allowed)]


@pytest.mark.parametrize(("share", "ok"), [(0.5, True), (2.0, False)])
@pytest.mark.parametrize(
    ("change", "scale"),
    [
        (("sizes", "battery_kwh", 0, 8.0), 8.0),
        (("sizes", "battery_kwh", 1, 0.0), 1.0),
        (("sizes", "gpus", 1, 0.0), 10.0),
        (("dispatch", "charge_kw", 0, 2.0), 10.0),
        (("dispatch", "discharge_kw", 2, 0.0), -10.0),
        (("dispatch", "backup_kw", 1, 2.0), 10.0),
    ],
)
def test_tolerance_is_relative_to_the_scale(
    change: tuple[str, str, int, float], scale: float, share: float, ok: bool
) -> None:
    """Half of the tolerance beyond a limit is rounding, twice of it a violation, both ways."""
    table, column, row, limit = change
    inst = equipped(module_gpus=None)
    tables = sound(inst)
    {"sizes": sizes, "dispatch": flows}[table](column, row, limit + share * TOLERANCE * scale)(
        tables
    )
    assert audit(inst, tables).ok == ok


def test_opening_and_power_per_gpu_by_hand() -> None:
    """2 kW and 3 USD an hour per GPU, an opening of 17,520 USD a year: 2 USD an hour."""
    prices = {"gpu_kw": 2.0, "gpu_opex_usd_per_hour": 2.0}
    inst = fleet([[4.0], [4.0]], demand=3.0, opening=17_520.0, slot_minutes=60, **prices)
    flows = np.array([[2.0], [1.0]])
    none = np.zeros_like(flows)
    tables = tables_of(inst, Fleet(np.array([2.0]), np.zeros(1)), Dispatch(flows, none, none, none))
    cost = audit(inst, tables).cost
    assert cost["opening_usd"] == pytest.approx(4)
    assert cost["installed_usd"] == pytest.approx(2 * 2 * 3)
    assert cost["wind_usd"] == pytest.approx(3 * 2)
    assert cost["wind_kwh"] == pytest.approx(6)
    # A GPU-hour on the grid: K = 3 and 2 kWh at 3 USD.
    assert cost["grid_usd"] == pytest.approx(3 * 9)


def test_only_what_is_used_is_opened() -> None:
    """Neither GPUs nor a battery: no opening. A battery alone is a use, and is paid for."""
    inst = fleet(
        [[4.0, 4.0, 4.0]],
        demand=3.0,
        nameplate_kw=[4.0] * 3,
        opening=[8760.0, 17_520.0, 35_040.0],
        battery_kwh=[4.0] * 3,
    )
    none = np.zeros((1, 3))
    given = Fleet(np.array([2.0, 0.0, 0.0]), np.array([0.0, 0.0, 1.0]))
    assert given.open.tolist() == [True, False, True]
    cost = audit(inst, tables_of(inst, given, Dispatch(none, none, none, none))).cost
    assert cost["opening_usd"] == pytest.approx(1 + 4)


def sizes(column: str, row: int, value: object) -> Callable[[Tables], None]:
    """Change a cell of the sizes."""

    def change(tables: Tables) -> None:
        table = tables["sizes"].astype({column: object})
        table.loc[row, column] = value
        tables["sizes"] = table

    return change


def flows(column: str, row: int, value: object) -> Callable[[Tables], None]:
    """Change a cell of the dispatch."""

    def change(tables: Tables) -> None:
        table = tables["dispatch"].astype({column: object})
        table.loc[row, column] = value
        tables["dispatch"] = table

    return change


def drop(table: str, column: str) -> Callable[[Tables], None]:
    """Leave out a column."""

    def change(tables: Tables) -> None:
        tables[table] = tables[table].drop(columns=column)

    return change


def repeat(table: str) -> Callable[[Tables], None]:
    """Repeat the first row."""

    def change(tables: Tables) -> None:
        tables[table] = pd.concat([tables[table], tables[table].iloc[:1]], ignore_index=True)

    return change


FAULTS = {
    "more GPUs than the nameplate feeds": (sizes("gpus", 0, 12.0), "GPUs of a site"),
    "a broken module": (sizes("gpus", 0, 7.0), "whole modules"),
    "a site too far away": (sizes("gpus", 1, 2.0), "GPUs of a site"),
    "negative GPUs": (sizes("gpus", 1, -2.0), "GPUs of a site"),
    "a battery too large": (sizes("battery_kwh", 0, 9.0), "battery of a site"),
    "a battery where there is none": (sizes("battery_kwh", 1, 1.0), "battery of a site"),
    "sizes that are no number": (sizes("gpus", 0, np.nan), "column 'gpus' of table 'sizes'"),
    "a site that does not exist": (sizes("site", 1, "s9"), "site of table 'sizes'"),
    "a site twice": (repeat("sizes"), "one row per site"),
    "no column": (drop("sizes", "gpus"), "column 'gpus' of table 'sizes'"),
    "fewer GPUs than run": (sizes("gpus", 0, 4.0), "running GPUs"),
    "more wind than blows": (flows("gpus", 2, 6.0), "wind power used [kW]"),
    "GPUs fed by nothing": (flows("backup_kw", 1, 0.0), "wind power used [kW]"),
    "more grid than connected": (flows("backup_kw", 1, 3.0), "grid power of a site [kW]"),
    "charging too fast": (flows("charge_kw", 0, 3.0), "charging power [kW]"),
    "discharging more than is stored": (flows("discharge_kw", 1, 1.5), "energy in the battery"),
    "discharging too fast": (flows("discharge_kw", 1, 2.5), "discharging power [kW]"),
    "negative discharge": (flows("discharge_kw", 2, -1.0), "discharging power [kW]"),
    "negative charge": (flows("charge_kw", 2, -1.0), "charging power [kW]"),
    "grid power to nobody": (flows("gpus", 1, 1.0), "wind to the GPUs [kW]"),
    "flows that are no number": (flows("gpus", 0, "six"), "column 'gpus' of table 'dispatch'"),
    "a time outside": (
        flows("time", 0, START - pd.Timedelta(hours=1)),
        "time of table 'dispatch'",
    ),
    "a site unknown to the dispatch": (flows("site", 0, "s7"), "site of table 'dispatch'"),
    "a slot twice": (repeat("dispatch"), "one row per slot and site"),
    "a column of the dispatch missing": (drop("dispatch", "charge_kw"), "column 'charge_kw'"),
    "too much left to the grid": (flows("gpus", 0, 2.0), "share of the demand left to the grid"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_planted_fault(name: str) -> None:
    """Each fault breaks the limit that is named for it."""
    change, limit = FAULTS[name]
    inst = equipped()
    tables = sound(inst)
    change(tables)
    found = audit(inst, tables)
    assert any(v.limit.startswith(limit) for v in found.violations), found.frame


def test_a_fault_accuses_nobody_else() -> None:
    """Rows that mean nothing are no repetition of the first slot and site, nor of each other."""
    inst = equipped()
    tables = sound(inst)
    odd = tables["dispatch"].iloc[[0, 0, 0]].astype({"time": object})
    late = START + pd.Timedelta(hours=3)
    odd["time"] = ["never", late, START - pd.Timedelta(hours=1)]
    rows = [odd, tables["dispatch"].astype({"time": object})]
    tables["dispatch"] = pd.concat(rows, ignore_index=True)
    found = audit(inst, tables)
    span = f"{START.isoformat()} to {(START + pd.Timedelta(hours=2)).isoformat()}, slot by slot"
    assert [(v.limit, v.where, v.allowed) for v in found.violations] == [
        ("time of table 'dispatch'", f"row {row}", span) for row in (1, 2, 3)
    ]
    assert found.cost.total == pytest.approx(90)


@pytest.mark.parametrize(
    ("beyond", "ok"), [(-0.5, True), (0.5, True), (2.0, False)], ids=["within", "rounding", "over"]
)
def test_the_share_of_the_grid_is_kept_to_the_tolerance(beyond: float, ok: bool) -> None:
    """11 of 24 GPU-hours are left to the grid; a limit that is a rounding below them holds."""
    inst = equipped(unmet_share_max=11 / 24 - beyond * TOLERANCE)
    assert audit(inst, sound(inst)).ok == ok


def test_no_wind_flows_backwards() -> None:
    """2 kW of grid and battery for 1 kW of GPUs: the rest may not run back to the turbines."""
    tables = sound(equipped())
    flows("gpus", 1, 2.0)(tables)
    found = audit(equipped(), tables).violations
    assert [(v.limit, v.value) for v in found] == [("wind to the GPUs [kW]", -1)]


def test_serving_more_than_the_demand() -> None:
    """GPUs that serve nobody are not useful; as many as the demand are."""
    inst = fleet([[10.0]], demand=4.0)
    for gpus, expected in ((4.0, []), (5.0, ["GPUs serving demand"])):
        run = np.array([[gpus]])
        none = np.zeros_like(run)
        tables = tables_of(inst, Fleet(run[0], np.zeros(1)), Dispatch(run, none, none, none))
        assert [v.limit for v in audit(inst, tables).violations] == expected


@pytest.mark.parametrize(("share", "ok"), [(0.5, True), (2.0, False)])
def test_scales_of_gpus_and_of_batteries(share: float, ok: bool) -> None:
    """A site of 12 kW and 3 kW a GPU holds four; a battery's is the energy that went through it.

    Half an hour at 16 kW takes 8 kWh out of a battery of 2 kWh. Scales in the wrong unit (36 GPUs,
    32 kWh) would pardon what is no rounding.
    """
    over = share * TOLERANCE
    inst = fleet([[12.0]] * 2, demand=9.0, gpu_kw=3.0)
    none = np.zeros((2, 1))
    run = np.array([[2.0], [2.0 + over * 4]])
    given = tables_of(inst, Fleet(np.array([2.0]), np.zeros(1)), Dispatch(run, none, none, none))
    assert audit(inst, given).ok == ok
    battery = {"battery_kwh": 2.0, "battery_efficiency": 1.0, "battery_hours": 0.25}
    hourly = fleet([[8.0]] * 8, demand=9.0, **battery)
    tables = hourly.tables
    tables["power"]["time"] = START + (tables["power"]["time"] - START) / 2
    inst = SitesInstance({**hourly.parameters.model_dump(), "slot_minutes": 30}, tables)
    charge, discharge = np.zeros((8, 1)), np.zeros((8, 1))
    charge[::2], discharge[1::2] = 4.0, 4.0
    # 8 kWh in all, and a little more in the end than was stored.
    discharge[-1] += over * 8 * 2
    flows = Dispatch(discharge.copy(), charge, discharge, np.zeros((8, 1)))
    given = tables_of(inst, Fleet(np.array([5.0]), np.array([2.0])), flows)
    assert audit(inst, given).ok == ok, audit(inst, given)


def test_no_tables_at_all() -> None:
    """Nothing given is said to be lacking, column by column."""
    found = audit(equipped(), {})
    assert not found.ok
    assert found.cost["gpus"] == 0
