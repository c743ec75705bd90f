"""Trace files of every public format, damaged, through every reader under every cleaning policy.

The small sound files are made here, one per format, so that no public data are needed. What comes
out of a reader must be a table that keeps its word (finite where that is said, rising in time, in
UTC), or one of our errors.
"""

from __future__ import annotations

import csv
import functools
import gzip
import json
import os
import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from optmodels import traces
from optmodels.traces.failures import read_failures
from tests.fuzz import nasty
from tests.fuzz.verdict import listing, promise

OUTCOMES = ("refused", "read")
HOURS = 30
#: Bytes to which a small compressed file unpacks: beyond every limit on what is read.
BOMB_BYTES = 270_000_000


@dataclass(frozen=True)
class Kind:
    """One format: a sound file of it, and how it is read."""

    name: str
    file: str
    sound: Callable[[], str]
    read: Callable[[Path, random.Random], object]


def run(case: int, seed: int, room: Path) -> str:
    """Make one damaged trace file and read it; gives its outcome, one of `OUTCOMES`.

    Parameters
    ----------
    case, seed
        Which case: the same two numbers give the same file.
    room
        Empty folder to work in; it is left empty.
    """
    rng = random.Random(f"{seed}/traces/{case}")
    kind = KINDS[case % len(KINDS)]
    raw, name = _damaged(kind, rng)
    path = room / name
    try:
        _written(path, raw, rng)
        before = listing(room)
        try:
            _kept(kind.read(path, rng))
        finally:
            promise(listing(room) == before, "reading changed the files")
        return "read"
    finally:
        for entry in room.iterdir():
            entry.rmdir() if entry.is_dir() and not entry.is_symlink() else entry.unlink()


def _damaged(kind: Kind, rng: random.Random) -> tuple[bytes, str]:
    """Content and name of the file."""
    raw = sound(kind.name)
    rounds = rng.choice((0, *(1,) * 12, 2, 2, 3))
    if kind.file.endswith(".json"):
        content = json.loads(raw)
        for _ in range(rounds):
            content = nasty.json_mutated(content, rng)
        return (nasty.json_text(content, rng) if rounds else raw), kind.file
    for _ in range(rounds):
        try:
            grid = nasty.grid_of(raw)
        except (UnicodeError, csv.Error):  # no table any more: only its bytes can be changed
            grid = [[]]
        raw = nasty.table_mutated(raw, grid if grid and grid[0] else [[""]], rng)
    packing = rng.randrange(40)
    if packing >= 8:
        return raw, kind.file
    packed = gzip.compress(raw, 1, mtime=0)
    if packing == 0:
        packed = nasty.bytes_mutated(packed, rng)
    elif packing == 1:
        packed = rng.choice(
            (packed + packed, packed + b"\0" * 50, packed + b"x", gzip.compress(packed), raw)
        )
    elif packing == 2 and rng.random() < 0.02:
        packed = bomb(rng.choice(("a", "\n", ",", "1,2\n", '"', "\r", '""\n')))
    return packed, f"{kind.file}.gz"


@functools.cache
def bomb(pattern: str) -> bytes:
    """A small compressed file that unpacks to hundreds of megabytes."""
    packer = zlib.compressobj(1, wbits=31)
    block = (pattern * 1_000_000).encode()
    parts = [packer.compress(block) for _ in range(BOMB_BYTES // len(block))]
    return b"".join((*parts, packer.flush()))


def _written(path: Path, raw: bytes, rng: random.Random) -> None:
    """The file, or now and then something else under its name."""
    kind = rng.randrange(300)
    if kind == 0:
        path.mkdir()
    elif kind == 1:
        os.mkfifo(path)
    elif kind == 2:
        path.symlink_to(rng.choice((path.name, "missing", "/dev/zero", ".")))
    else:
        path.write_bytes(raw)
        if kind == 3:
            os.truncate(path, 2**31)


def _kept(found: object) -> None:
    """Promises of what a reader returns."""
    promise(bool(repr(found)), "no text of a trace")
    if isinstance(found, traces.Trace | traces.WindTrace):
        frame = found.frame
        promise(bool(np.isfinite(frame.to_numpy(dtype=float)).all()), "a trace that is not finite")
        steps = frame.index[1:] - frame.index[:-1]
        promise(bool((steps == found.step).all()), "a trace that is not regular")
        promise(str(pd.DatetimeIndex(frame.index).tz) == "UTC", "a trace that is not in UTC")
    elif isinstance(found, traces.Vintages):
        promise(bool(np.isfinite(found.frame.to_numpy()).all()), "forecasts that are not finite")
        found.at(found.issue_times[-1])
        found.actual()
    elif isinstance(found, pd.DataFrame):
        promise(len(found) > 0, "a table without rows")
        numbers = found.select_dtypes("number").to_numpy(dtype=float)
        promise(not np.isinf(numbers).any(), "a table that is not finite")
    else:
        promise(False, f"a reader that gives a {type(found).__name__}")


# ------------------------------------------------------------------------------- the sound files
def _hours(form: str = "%Y-%m-%d %H:%M:%S", count: int = HOURS) -> list[str]:
    return [f"{time:{form}}" for time in pd.date_range("2022-03-26", periods=count, freq="h")]


def _table(head: str, rows: list[tuple[object, ...]]) -> str:
    return "\n".join([head, *(",".join(str(cell) for cell in row) for row in rows)]) + "\n"


def _carbon(i: int) -> float:
    return round(300 + 100 * float(np.sin(i / 4)), 2)


def _electricity_maps() -> str:
    head = (
        "Datetime (UTC),Country,Zone Name,Zone Id,Carbon Intensity gCO₂eq/kWh (direct),"
        "Carbon Intensity gCO₂eq/kWh (LCA),Low Carbon Percentage,Renewable Percentage,"
        "Data Source,Data Estimated,Data Estimation Method"
    )
    rows: list[tuple[object, ...]] = [
        (t, "Land", "Land", "DE", _carbon(i), _carbon(i) + 50, 80, 70, "grid", i == 3, "")
        for i, t in enumerate(_hours())
    ]
    return _table(head, rows)


def _zone_table() -> str:
    rows = [(t, _carbon(i), _carbon(i + 9)) for i, t in enumerate(_hours())]
    return _table("datetime,DE,FR", rows)


def _watttime() -> str:
    rows = [
        (t, _carbon(i), _carbon(i + 9)) for i, t in enumerate(_hours("%Y-%m-%dT%H:%M:%S+00:00"))
    ]
    return _table("point_time,North,South", rows)


def _sustaindc() -> str:
    mix = tuple(f"{100 + j}" for j in range(8))
    rows = [(t, *mix, _carbon(i)) for i, t in enumerate(_hours("%Y-%m-%d %H:%M:%S+00:00"))]
    return _table("timestamp,WND,SUN,WAT,OIL,NG,COL,NUC,OTH,avg_CI", rows)


def _carboncast() -> str:
    rows: list[tuple[object, ...]] = []
    start = pd.Timestamp("2021-07-01")
    for day in range(3):
        for lead in range(_LEADS):
            at = 24 * day + lead
            rows.append((len(rows), start + pd.Timedelta(hours=at), _carbon(at), _carbon(at) + 1))
    head = "actual_carbon_intensity_lifecycle,forecasted_carbon_intensity_lifecycle"
    return _table(f",UTC time,{head}", rows)


def _rts(periods: int) -> str:
    rows: list[tuple[object, ...]] = [
        (2020, 3, 7 + day, period, 10.5 * period, 3)
        for day in range(2 if periods < 100 else 1)
        for period in range(1, periods + 1)
    ]
    return _table("Year,Month,Day,Period,309_WIND_1,317_WIND_1", rows)


def _dispaset() -> str:
    return _table(",WTOF,WTON,PHOT", [(t, 0.25, i / 100, 0) for i, t in enumerate(_hours())])


def _profile() -> str:
    rows = [(n, round(n**0.9, 3), 200 * n) for n in range(1, 9)]
    return _table("nodes,throughput,power", rows)


def _jobs() -> str:
    rows = [(round(i * 0.75, 4), 1 + i % 7 / 4, 1 + i % 4) for i in range(20)]
    return _table("arrival_time,length,cpus", rows)


def _pairs() -> str:
    places = ("a", "b", "c")
    rows = [(x, y, 3.5 * (1 + len(places))) for x in places for y in places]
    return _table("sending_region,receiving_region,milliseconds", rows)


def _matrix() -> str:
    return _table("rtt,x,y,z", [("x", 0, 2.5, ""), ("y", 2.4, 0, 7), ("z", 3, 7.1, 0)])


def _cities() -> str:
    return _table("city,Lat,Long,Population", [("Oslo", 59.9, 10.7, 1), ("Lima", -12, -77, 2)])


def _azure_regions() -> str:
    regions = {"oslo": ("59.9", "10.7"), "lima": ("-12", "-77")}
    return json.dumps({n: {"Latitude": a, "Longitude": b} for n, (a, b) in regions.items()})


def _failures() -> str:
    fault = {"Level": "Hardware Failure", "Class": "GPU", "Desc": "ECC"}
    return json.dumps(
        [
            {"node_id": node, "event_time": time, "event_type": kind, "fault_type": fault}
            for node, time, kind in (
                ("n1", 0.5, "fault_start"),
                ("n2", 1, "fault_start"),
                ("n1", 1.25, "fault_end"),
                ("n2", 2.5, "fault_end"),
                ("n1", 3.0, "fault_start"),
            )
        ]
    )


def _requests() -> str:
    rows = [(f"2023-11-16 18:15:{i:02d}.6805900", 100 + 70 * i, 5 * i) for i in range(20)]
    return _table("TIMESTAMP,ContextTokens,GeneratedTokens", rows)


def _rates() -> str:
    rows: list[tuple[object, ...]] = [(600 * i, 0.5 + i, "" if i == 4 else 2) for i in range(12)]
    return _table("timestamp_s,chat,code", rows)


def _serving_times() -> str:
    head = (
        "model,hardware,prompt_size,batch_size,token_size,peak_power,average_power,prompt_time,"
        "token_time,e2e_time,tensor_parallel"
    )
    rows: list[tuple[object, ...]] = [
        ("m", "a100", 512, 2**i, 128, 1.0, 0.7, 196.25, 54.9, 7168.98, 2) for i in range(6)
    ]
    return _table(head, rows)


def _serving_power() -> str:
    head = (
        "model_id,gpu_model,num_gpus,tensor_parallel,max_num_seqs,avg_batch_size,avg_output_len,"
        "avg_power_watts,output_throughput_tokens_per_sec,median_itl_ms,p90_itl_ms,p99_itl_ms,"
        "energy_per_token_joules,energy_per_request_joules"
    )
    row = ("m", "H100", 4, 4, 8, 8, 350, 1750, 500, 16, 17, 20, 3.5, 1200)
    return _table(head, [row, row, row])


# ------------------------------------------------------------------------------------ the readers
_LEADS = 48
_ZONES = (None, None, "DE", "North", "X", "")
_UNITS = (None, None, "g/kWh", "lb/MWh", "kg/kWh")
_CLOCKS = (None, "UTC", "UTC", "Europe/Berlin", "Etc/GMT+7", "America/Denver", "Asia/Kathmandu")


def _cleaning(rng: random.Random) -> traces.Cleaning | None:
    if rng.random() < 0.3:
        return None
    choices: dict[str, tuple[Any, ...]] = {
        "gaps": ("refuse", "interpolate", "previous"),
        "max_gap_slots": (0, 3, 1000),
        "duplicates": ("refuse", "first", "last", "mean"),
        "estimated": ("accept", "refuse", "gap"),
        "doubled_day": ("refuse", "repair"),
        "mixed_times": ("refuse", "accept"),
        "ambiguous": ("refuse", "order", "earlier", "later"),
        "nonexistent": ("refuse", "shift"),
    }
    return traces.Cleaning(**{name: rng.choice(values) for name, values in choices.items()})


def _read_carbon(format_: str, units: tuple[str | None, ...]) -> Callable[..., object]:
    def read(path: Path, rng: random.Random) -> object:
        # Formats in UTC refuse another clock.
        clock = rng.choice(_CLOCKS) if format_ == "sustaindc" else None
        quantity = rng.choice(traces.FORMATS[format_].quantities)
        wanted = {"zone-table": "FR", "watttime": "South"}.get(format_)
        zone = wanted if rng.random() < 0.8 else rng.choice(_ZONES)
        return traces.read_carbon(
            path,
            format_,
            zone=zone,
            quantity=quantity,
            unit=rng.choice(units),
            tz=clock,
            cleaning=_cleaning(rng),
        )

    return read


def _read_vintages(path: Path, rng: random.Random) -> object:
    leads = _LEADS if rng.random() < 0.9 else rng.choice((1, 24, 96))
    return traces.read_vintages(path, cleaning=_cleaning(rng), leads=leads)


def _read_wind(format_: str) -> Callable[[Path, random.Random], object]:
    def read(path: Path, rng: random.Random) -> object:
        clock = None if format_ == "dispaset" else rng.choice(_CLOCKS)
        return traces.read_wind(path, format_, tz=clock, cleaning=_cleaning(rng))

    return read


def _plain(reader: Callable[..., object]) -> Callable[[Path, random.Random], object]:
    return lambda path, rng: reader(path)


KINDS = (
    Kind("electricity-maps", "DE.csv", _electricity_maps, _read_carbon("electricity-maps", _UNITS)),
    Kind("zone-table", "zones.csv", _zone_table, _read_carbon("zone-table", _UNITS)),
    Kind("watttime", "watt.csv", _watttime, _read_carbon("watttime", _UNITS[2:4])),
    Kind("sustaindc", "PJM_mix.csv", _sustaindc, _read_carbon("sustaindc", _UNITS)),
    Kind("carboncast", "SE_forecasts.csv", _carboncast, _read_vintages),
    Kind("rts-real-time", "real.csv", lambda: _rts(288), _read_wind("rts-gmlc-real-time")),
    Kind("rts-day-ahead", "ahead.csv", lambda: _rts(24), _read_wind("rts-gmlc-day-ahead")),
    Kind("dispaset", "NL.csv", _dispaset, _read_wind("dispaset")),
    Kind("sustaindc-wind", "PJM_mix.csv", _sustaindc, _read_wind("sustaindc")),
    Kind("profile", "profile.csv", _profile, _plain(traces.read_profile)),
    Kind(
        "jobs",
        "jobs.csv",
        _jobs,
        lambda path, rng: traces.read_jobs(path, unit=rng.choice((None, "hours", "seconds"))),
    ),
    Kind("pairs", "pairs.csv", _pairs, lambda path, rng: traces.read_latency(path, "pairs")),
    Kind("matrix", "matrix.csv", _matrix, lambda path, rng: traces.read_latency(path, "matrix")),
    Kind("cities", "cities.csv", _cities, lambda path, rng: traces.read_places(path, "cities")),
    Kind(
        "azure-regions",
        "regions.json",
        _azure_regions,
        lambda path, rng: traces.read_places(path, "azure-regions"),
    ),
    Kind("failures", "faults.json", _failures, _plain(read_failures)),
    Kind(
        "requests",
        "requests.csv",
        _requests,
        lambda path, rng: traces.read_requests(path, tz=rng.choice(_CLOCKS)),
    ),
    Kind("rates", "rates.csv", _rates, _plain(traces.read_request_rates)),
    Kind("serving-times", "times.csv", _serving_times, _plain(traces.read_serving_times)),
    Kind("serving-power", "power.csv", _serving_power, _plain(traces.read_serving_power)),
)
_BY_NAME = {kind.name: kind for kind in KINDS}


@functools.cache
def sound(name: str) -> bytes:
    """The sound file of a format."""
    return _BY_NAME[name].sound().encode()
