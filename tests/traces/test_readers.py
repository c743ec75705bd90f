"""Each fault of a carbon file is refused by place, and repaired only where the policy says so."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.errors import InputError, UsageError
from optmodels.traces import FORMATS, Cleaning, Trace, read_carbon, read_vintages

HOURS = pd.date_range("2022-01-01", periods=48, freq="h")
CARBON = [100.0 + 7 * (h % 24) for h in range(48)]


def maps_file(
    folder: Path,
    times: Sequence[object] = tuple(HOURS),
    carbon: Sequence[object] = tuple(CARBON),
    zone: str = "DE",
    estimated: Sequence[int] = (),
) -> Path:
    """Portal export with direct values `carbon` and life-cycle values 50 higher."""
    lines = [
        "Datetime (UTC),Country,Zone Name,Zone Id,Carbon Intensity gCO₂eq/kWh (direct),"
        "Carbon Intensity gCO₂eq/kWh (LCA),Low Carbon Percentage,Renewable Percentage,"
        "Data Source,Data Estimated,Data Estimation Method"
    ]
    for i, (time, value) in enumerate(zip(times, carbon, strict=True)):
        lca = value + 50 if isinstance(value, float) else value
        mark = "true" if i in estimated else "false"
        lines.append(f"{time},Land,Land,{zone},{value},{lca},80.0,70.0,grid.org,{mark},")
    path = folder / "maps.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def read(path: Path, **policy: object) -> Trace:
    """The portal export at `path`, under a cleaning policy."""
    return read_carbon(path, "electricity-maps", cleaning=Cleaning(**policy))  # type: ignore[arg-type]


def test_a_clean_export_comes_through_unchanged(tmp_path: Path) -> None:
    """Values, times, zone and quantity are those of the file, and there is nothing to report."""
    trace = read(maps_file(tmp_path))
    assert trace.to_series().tolist() == CARBON
    assert (trace.frame.index == HOURS.tz_localize("UTC")).all()
    assert trace.frame.index.name == "time"
    assert (trace.zone, trace.quantity, trace.report) == ("DE", "direct", ())
    assert trace.source == "electricity-maps, maps.csv"
    assert trace.step == pd.Timedelta("1h")


def test_quantity_chooses_the_column(tmp_path: Path) -> None:
    """Taking the wrong column would be off by the 50 g/kWh of the life cycle."""
    path = maps_file(tmp_path)
    trace = read_carbon(path, "electricity-maps", quantity="lifecycle")
    assert trace.to_series().tolist() == [value + 50 for value in CARBON]
    with pytest.raises(UsageError, match="direct and lifecycle intensity, not marginal"):
        read_carbon(path, "electricity-maps", quantity="marginal")
    with pytest.raises(UsageError, match="Unknown quantity"):
        read_carbon(path, "electricity-maps", quantity="total")  # type: ignore[arg-type]


def test_newer_headers_and_plain_digits_are_known(tmp_path: Path) -> None:
    """Other letter case, 'Life cycle' for 'LCA', and 'gCO2eq' without subscript."""
    path = maps_file(tmp_path)
    text = path.read_text(encoding="utf-8").replace("Carbon Intensity", "Carbon intensity")
    text = text.replace("(LCA)", "(Life cycle)").replace("₂", "2").replace("Zone Id", "Zone id")
    path.write_text("\ufeff" + text, encoding="utf-8")
    trace = read_carbon(path, "electricity-maps", quantity="lifecycle", zone="DE")
    assert trace.to_series().iloc[0] == 150.0


def test_zones_are_those_in_the_file(tmp_path: Path) -> None:
    """A wrong zone names the ones in the file; several need a choice; each is selected alone."""
    path = maps_file(tmp_path)
    with pytest.raises(UsageError, match=r"'DE-LU' is not in the file.*'DE'"):
        read_carbon(path, "electricity-maps", zone="DE-LU")
    body = path.read_text(encoding="utf-8")
    lines = body.splitlines()
    french = [line.replace(",DE,", ",FR,1") for line in lines[1:]]
    path.write_text("\n".join([*lines, *french]) + "\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"2 zones.*DE, FR"):
        read_carbon(path, "electricity-maps")
    assert read_carbon(path, "electricity-maps", zone="FR").to_series().iloc[0] == 1100.0
    assert read_carbon(path, "electricity-maps", zone="DE").to_series().tolist() == CARBON


def test_missing_columns_and_unknown_names(tmp_path: Path) -> None:
    """A file of another format, an unknown format, a missing file."""
    path = tmp_path / "a.csv"
    path.write_text("Datetime (UTC),Zone Id,Carbon Intensty gCO2eq/kWh (direct)\n")
    with pytest.raises(InputError, match=r"rename 'Carbon Intensty gCO2eq/kWh \(direct\)'"):
        read_carbon(path, "electricity-maps")
    with pytest.raises(UsageError, match=r"Did you mean 'zone-table'"):
        read_carbon(path, "zone_table")
    with pytest.raises(InputError, match="was not found"):
        read_carbon(tmp_path / "b.csv", "electricity-maps")
    path.write_text("datetime,DE\n")
    with pytest.raises(InputError, match="has no rows of data"):
        read_carbon(path, "zone-table", zone="DE")
    path.write_text("datetime,DE\n2022-01-01 00:00,100\n")
    with pytest.raises(InputError, match="has 1 time "):
        read_carbon(path, "zone-table", zone="DE")


def test_all_flaws_of_all_columns_are_in_one_error(tmp_path: Path) -> None:
    """Text, infinity, a negative value and a bad time of one file are reported together."""
    carbon: list[object] = [*CARBON]
    carbon[1], carbon[2], carbon[3] = "abc", "inf", -5.0
    times: list[object] = [*HOURS]
    times[4] = "yesterday"
    with pytest.raises(InputError) as caught:
        read(maps_file(tmp_path, times, carbon))
    assert sorted(flaw.row or 0 for flaw in caught.value.flaws) == [3, 4, 5, 6]
    assert "Carbon Intensity gCO₂eq/kWh (direct)" in str(caught.value)
    del times[10], carbon[10]
    times[4] = HOURS[4]
    with pytest.raises(InputError) as caught:
        read(maps_file(tmp_path, times, carbon))
    # A wrong value is reported once, and not as a gap too; the absent hour comes with it.
    assert [flaw.row for flaw in caught.value.flaws] == [3, 4, 5, 12]


def test_a_missing_hour_is_refused_or_filled(tmp_path: Path) -> None:
    """The filled value is the mean of its neighbours, or the one before; its count is told."""
    times, carbon = list(HOURS), list(CARBON)
    del times[5], carbon[5]
    path = maps_file(tmp_path, times, carbon)
    with pytest.raises(InputError, match=r"row 7.*2022-01-01 05:00:00 UTC is absent"):
        read(path)
    trace = read(path, gaps="interpolate")
    assert trace.to_series().tolist() == CARBON  # linear there, so interpolation is exact
    assert trace.report == (
        "1 slots (1 cells) without value were filled: gaps='interpolate', at most 3 in a row.",
    )
    held = [*CARBON[:5], CARBON[4], *CARBON[6:]]
    assert read(path, gaps="previous").to_series().tolist() == held


def test_empty_cells_are_gaps(tmp_path: Path) -> None:
    """Empty and NaN cells join absent rows to one gap, whose length is bounded."""
    times, carbon = list(HOURS), [*CARBON]
    mixed: list[object] = [*carbon]
    mixed[5], mixed[7] = "", "NaN"
    del times[6], mixed[6]  # absent between an empty and a NaN cell: a gap of three
    path = maps_file(tmp_path, times, mixed)
    with pytest.raises(InputError) as caught:
        read(path)
    assert {flaw.row for flaw in caught.value.flaws} == {7, 8}
    assert read(path, gaps="interpolate").to_series().tolist() == CARBON
    with pytest.raises(InputError, match=r"has 3 slots without value.*at most 2 slots"):
        read(path, gaps="interpolate", max_gap_slots=2)


@pytest.mark.parametrize(
    ("place", "policy"), [(0, "interpolate"), (0, "previous"), (47, "interpolate")]
)
def test_gaps_at_the_ends_are_not_extrapolated(tmp_path: Path, place: int, policy: str) -> None:
    """There is no neighbour to take a value from."""
    carbon: list[object] = [*CARBON]
    carbon[place] = ""
    with pytest.raises(InputError, match=r"at the (start|end) without value.*cut them off"):
        read(maps_file(tmp_path, HOURS, carbon), gaps=policy)


def test_a_wrong_year_does_not_build_a_huge_grid(tmp_path: Path) -> None:
    """One time in 2199 is a gap of 1.5 million hours: refused before anything is allocated."""
    times: list[object] = [*HOURS]
    times[-1] = "2199-01-01 00:00:00"
    with pytest.raises(InputError, match="slots from"):
        read(maps_file(tmp_path, times), gaps="interpolate", max_gap_slots=24)
    times[:3] = [f"2022-01-01 00:00:00.{ms}" for ms in ("000", "001", "002")]
    times[3:] = [f"2199-01-01 00:00:00.{ms:03}" for ms in range(45)]
    with pytest.raises(InputError, match=r"slots of 0.001 s \(allowed: at most 10,000,000"):
        read(maps_file(tmp_path, times), gaps="interpolate", max_gap_slots=10**15)


def test_a_duplicated_hour_is_refused_or_resolved(tmp_path: Path) -> None:
    """First, last and mean give three different values; the order of the file decides."""
    times, carbon = list(HOURS), list(CARBON)
    times.insert(6, times[5])
    carbon.insert(6, 400.0)
    path = maps_file(tmp_path, times, carbon)
    with pytest.raises(InputError, match=r"row 8.*stands already in row 7"):
        read(path)
    assert read(path, duplicates="first").to_series().iloc[5] == CARBON[5]
    assert read(path, duplicates="last").to_series().iloc[5] == 400.0
    trace = read(path, duplicates="mean")
    assert trace.to_series().iloc[5] == (CARBON[5] + 400.0) / 2
    assert trace.to_series().drop(trace.frame.index[5]).tolist() == CARBON[:5] + CARBON[6:]
    assert "1 rows for an instant that stands already" in trace.report[0]


def test_mean_of_duplicates_ignores_empty_ones(tmp_path: Path) -> None:
    """A value and an empty cell for one hour give the value, not half of it."""
    times: list[object] = [*HOURS]
    carbon: list[object] = [*CARBON]
    times.insert(6, times[5])
    carbon.insert(6, "")
    trace = read(maps_file(tmp_path, times, carbon), duplicates="mean")
    assert trace.to_series().tolist() == CARBON


def test_rows_in_another_order_are_sorted_and_told(tmp_path: Path) -> None:
    """Newest first is common; sorting loses nothing."""
    trace = read(maps_file(tmp_path, HOURS[::-1], CARBON[::-1]))
    assert trace.to_series().tolist() == CARBON
    assert "not in the order of time" in trace.report[0]


@pytest.mark.parametrize("place", [0, 20])
def test_times_off_the_grid_are_named(tmp_path: Path, place: int) -> None:
    """Only the odd time is blamed, also when it is the first."""
    times: list[object] = [*HOURS]
    times[place] = HOURS[place] + pd.Timedelta(minutes=7)
    with pytest.raises(InputError, match="not on the grid of 1 h") as caught:
        read(maps_file(tmp_path, times))
    assert [flaw.row for flaw in caught.value.flaws] == [place + 2]


def test_estimated_values_follow_the_policy(tmp_path: Path) -> None:
    """Told by default; refused or taken as gaps on demand."""
    carbon = list(CARBON)
    carbon[5] = 999.0
    path = maps_file(tmp_path, HOURS, carbon, estimated=[5])
    trace = read(path)
    assert trace.to_series().iloc[5] == 999.0
    assert trace.report == ("1 of 48 values (2.1%) are estimates of the source.",)
    with pytest.raises(InputError, match=r"row 7.*is true in 1 of 48 rows"):
        read(path, estimated="refuse")
    assert read(path, estimated="gap", gaps="interpolate").to_series().tolist() == CARBON


@pytest.mark.parametrize(("factor", "unit"), [(0.001, "kg/kWh"), (0.001, "t/MWh"), (1.0, "kg/MWh")])
def test_units_are_converted_when_said(tmp_path: Path, factor: float, unit: str) -> None:
    """0.1 kg/kWh = 0.1 t/MWh = 100 g/kWh = 100 kg/MWh."""
    path = maps_file(tmp_path, HOURS, [value * factor for value in CARBON])
    trace = read_carbon(path, "electricity-maps", unit=unit)
    assert np.allclose(trace.to_series(), CARBON, rtol=1e-12)
    if factor != 1.0:
        with pytest.raises(InputError, match=r"highest value of 0.261 g/kWh.*kg/kWh or t/MWh"):
            read_carbon(path, "electricity-maps")
        trace = read_carbon(path, "electricity-maps", unit="g/kWh")
        assert "although the unit was said to be g/kWh" in trace.report[-1]


def test_implausibly_large_values_are_refused(tmp_path: Path) -> None:
    """100,000 g/kWh is mg or an error; never an input for a plan."""
    path = maps_file(tmp_path, HOURS, [value * 1000 for value in CARBON])
    with pytest.raises(InputError, match=r"has values up to 261000 g/kWh"):
        read_carbon(path, "electricity-maps")
    with pytest.raises(UsageError, match="Unknown unit"):
        read_carbon(path, "electricity-maps", unit="mg/kWh")


def test_a_zone_that_contradicts_the_format_is_refused(tmp_path: Path) -> None:
    """'Datetime (UTC)' is UTC; another tz= would shift the year silently."""
    path = maps_file(tmp_path)
    with pytest.raises(UsageError, match="are in UTC; tz='Europe/Berlin' contradicts"):
        read_carbon(path, "electricity-maps", tz="Europe/Berlin")
    assert len(read_carbon(path, "electricity-maps", tz="UTC")) == 48


def test_zone_table_picks_one_zone_and_tells_flat_runs(tmp_path: Path) -> None:
    """The right column, a suggestion for a misspelt zone, constant and flat series."""
    frame = pd.DataFrame({"datetime": HOURS, "DE": CARBON, "HK": 435.36, "LU": CARBON})
    frame.loc[10:39, "LU"] = 300.0
    path = tmp_path / "zones.csv"
    frame.to_csv(path, index=False)
    assert read_carbon(path, "zone-table", zone="DE").to_series().tolist() == CARBON
    constant = read_carbon(path, "zone-table", zone="HK")
    assert constant.report == ("the intensity is constant at 435.36 g/kWh: nothing to shift.",)
    flat = read_carbon(path, "zone-table", zone="LU")
    assert "the longest lasts 30 steps of 1 h from 2022-01-01 10:00 UTC" in flat.report[0]
    with pytest.raises(UsageError, match="Did you mean 'DE'"):
        read_carbon(path, "zone-table", zone="de")
    with pytest.raises(UsageError, match="3 zones: say which one"):
        read_carbon(path, "zone-table")
    assert flat.quantity == "lifecycle"


def test_watttime_needs_its_unit(tmp_path: Path) -> None:
    """1000 lb/MWh = 453.59237 g/kWh; without a unit the factor would be a guess."""
    times = pd.date_range("2023-06-08", periods=24, freq="5min")
    path = tmp_path / "watt.csv"
    pd.DataFrame({"oootime": times, "North": 1000.0}).to_csv(path, index=False)
    with pytest.raises(UsageError, match='unit="lb/MWh" or unit="g/kWh"'):
        read_carbon(path, "watttime")
    trace = read_carbon(path, "watttime", unit="lb/MWh")
    assert trace.to_series().tolist() == [453.59237] * 24
    assert (trace.zone, trace.quantity, trace.step) == ("North", "marginal", pd.Timedelta("5min"))
    assert len(trace.resample("1h")) == 2


def test_sustaindc_carries_the_mix_and_tells_a_collapse(tmp_path: Path) -> None:
    """Generation by fuel in MW; hours with a tenth of the usual generation are told."""
    frame = pd.DataFrame({"timestamp": HOURS.tz_localize("UTC")})
    for name in ("WND", "SUN", "WAT", "OIL", "NG", "COL", "NUC", "OTH"):
        frame[name] = 1000.0
    frame["avg_CI"] = CARBON
    frame.loc[20:22, "WND":"OTH"] = 10.0
    path = tmp_path / "PJM_mix.csv"
    frame.to_csv(path, index=False)
    trace = read_carbon(path, "sustaindc")
    assert trace.zone == "PJM"
    assert trace.frame.loc["2022-01-01 00:00+00:00", "wind_mw"] == 1000.0
    assert "collapses below 10% of its median in 3 steps" in trace.report[-1]
    frame["timestamp"] = [f"{time:%Y-%m-%d %H:%M}" for time in HOURS]
    frame.to_csv(path, index=False)
    with pytest.raises(InputError, match="has no time zone"):
        read_carbon(path, "sustaindc")
    berlin = read_carbon(path, "sustaindc", tz="Europe/Berlin")
    assert berlin.start == pd.Timestamp("2021-12-31 23:00", tz="UTC")


@pytest.mark.parametrize(("day", "count"), [("2022-03-27", 23), ("2022-10-30", 25)])
def test_local_days_of_23_and_25_hours(tmp_path: Path, day: str, count: int) -> None:
    """A local file over a clock change gives a gapless hourly trace with all its values."""
    start = pd.Timestamp(day).tz_localize("Europe/Berlin")
    frame = pd.DataFrame(
        {
            "timestamp": [f"{start + pd.Timedelta(hours=h):%Y-%m-%d %H:%M}" for h in range(count)],
            **dict.fromkeys(("WND", "SUN", "WAT", "OIL", "NG", "COL", "NUC", "OTH"), 1000.0),
            "avg_CI": np.arange(100.0, 100.0 + count),
        }
    )
    path = tmp_path / "DE_mix.csv"
    frame.to_csv(path, index=False)
    trace = read_carbon(path, "sustaindc", tz="Europe/Berlin", cleaning=Cleaning(ambiguous="order"))
    assert len(trace) == count
    assert trace.start == start.tz_convert("UTC")
    assert trace.end == (start + pd.DateOffset(days=1)).tz_convert("UTC")
    assert trace.to_series().tolist() == frame["avg_CI"].tolist()


def test_policies_are_checked() -> None:
    """A misspelt policy is refused when it is made."""
    with pytest.raises(UsageError, match=r"Unknown choice for gaps 'interp'.*interpolate"):
        Cleaning(gaps="interp")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="max_gap_slots"):
        Cleaning(max_gap_slots=-1)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(
    carbon=st.lists(st.floats(0, 2000, allow_subnormal=False), min_size=2, max_size=40).filter(
        lambda values: max(values) >= 5
    ),
    minutes=st.sampled_from([5, 15, 30, 60]),
    packed=st.booleans(),
)
def test_any_valid_table_comes_back_exactly(
    carbon: list[float],
    minutes: int,
    packed: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Written with pandas, read by us: same instants, same doubles, any step, gzip or not."""
    index = pd.date_range("2022-03-26 22:00", periods=len(carbon), freq=f"{minutes}min")
    path = tmp_path_factory.mktemp("t") / ("z.csv.gz" if packed else "z.csv")
    pd.DataFrame({"datetime": index, "DE": carbon}).to_csv(path, index=False)
    trace = read_carbon(path, "zone-table", zone="DE")
    assert trace.to_series().tolist() == carbon
    assert (trace.frame.index == index.tz_localize("UTC")).all()


SEEDS = {
    "electricity-maps": (
        "Datetime (UTC),Zone Id,Carbon Intensity gCO₂eq/kWh (direct),Data Estimated\n"
        "2022-01-01 00:00:00,DE,100.5,false\n2022-01-01 01:00:00,DE,101,true\n"
        "2022-01-01 02:00:00,DE,99,false\n"
    ),
    "zone-table": "datetime,DE\n2022-01-01 00:00,100.5\n2022-01-01 01:00,101\n",
    "watttime": 'oootime,"N"\n2022-01-01 00:00,100.5\n2022-01-01 00:05,101\n',
    "sustaindc": (
        "timestamp,WND,SUN,WAT,OIL,NG,COL,NUC,OTH,avg_CI\n"
        "2022-01-01 00:00+00:00,1,2,3,4,5,6,7,8,100\n2022-01-01 01:00+00:00,1,2,3,4,5,6,7,,99\n"
    ),
    "carboncast": (
        ",UTC time,actual_carbon_intensity_lifecycle,forecasted_carbon_intensity_lifecycle\n"
        "0,2021-07-01 00:00:00,100,101\n1,2021-07-01 01:00:00,102,103\n"
        "2,2021-07-01 01:00:00,102,103\n3,2021-07-01 02:00:00,104,105\n"
    ),
    "columns": "n;when;CO2;note\n0;2022-01-01 00:00+01:00;100.5;a\n1;2022-01-01 01:00+01:00;;b\n",
}


@pytest.mark.parametrize("name", sorted(FORMATS))
@settings(deadline=None, derandomize=True, max_examples=80)
@given(data=st.data())
def test_any_damage_gives_a_trace_or_our_error(
    name: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Bytes changed, inserted or removed anywhere: never a foreign exception or a bad trace."""
    content = bytearray(SEEDS[name].encode())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        byte = data.draw(st.sampled_from(b'09.,-+:/"\n\r\0 eTZ\xff\xe2') | st.integers(0, 255))
        action = data.draw(st.sampled_from(["change", "insert", "remove", "cut"]))
        if action == "change":
            content[place] = byte
        elif action == "insert":
            content.insert(place, byte)
        elif action == "remove" and len(content) > 1:
            del content[place]
        elif place:
            del content[place:]
    packed = data.draw(st.booleans())
    path = tmp_path_factory.mktemp("m") / ("m.csv.gz" if packed else "m.csv")
    path.write_bytes(gzip.compress(bytes(content)) if packed else bytes(content))
    cleaning = Cleaning(
        gaps=data.draw(st.sampled_from(["refuse", "interpolate", "previous"])),
        duplicates=data.draw(st.sampled_from(["refuse", "first", "last", "mean"])),
        mixed_times="accept",
        doubled_day="repair",
    )
    zone = "DE" if name == "zone-table" else None
    try:
        if name == "carboncast":
            trace = read_vintages(path, cleaning=cleaning, leads=2).actual()
        else:
            unit = "g/kWh" if name == "watttime" else None
            trace = read_carbon(path, name, zone=zone, unit=unit, cleaning=cleaning)
    except (InputError, UsageError):
        return
    assert np.isfinite(trace.to_series()).all()
    assert repr(trace)


@pytest.mark.parametrize("cell", ["1e308", "-1e308", "1e13"])
def test_absurd_numbers_are_refused_before_they_overflow(tmp_path: Path, cell: str) -> None:
    """Two generations of 1e308 MW sum to infinity: a warning of numpy, and a wrong report."""
    head = "timestamp,WND,SUN,WAT,OIL,NG,COL,NUC,OTH,avg_CI\n"
    rows = "".join(f"{t}+00:00,{cell},{cell},1,1,1,1,1,1,300\n" for t in HOURS)
    path = tmp_path / "PJM_mix.csv"
    path.write_text(head + rows)
    with pytest.raises(InputError, match=r"WND.*out of range.*-1e\+12 .. 1e\+12"):
        read_carbon(path, "sustaindc")


def test_a_column_name_of_a_page_is_refused(tmp_path: Path) -> None:
    """It would be repeated in every message: a hundred thousand letters to read."""
    path = tmp_path / "zones.csv"
    path.write_text(f"datetime,{'x' * 5000}\n2022-01-01 00:00,many\n")
    with pytest.raises(InputError, match="5,000 letters") as caught:
        read_carbon(path, "zone-table", zone="x" * 5000)
    assert len(str(caught.value)) < 500
