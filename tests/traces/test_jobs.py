"""Job traces: hours are told from seconds safely, or not at all; every flaw is listed."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from optmodels.errors import InputError, UsageError
from optmodels.traces import read_jobs
from optmodels.traces.jobs import LONGEST_JOB_H, LONGEST_SPAN_H

HEAD = "arrival_time,length,cpus\n"


def written(folder: Path, rows: list[tuple[object, ...]], name: str = "trace.csv") -> Path:
    """A file with these rows."""
    file = folder / name
    file.write_text(HEAD + "".join(f"{','.join(map(str, row))}\n" for row in rows))
    return file


def test_short_numbers_are_hours(tmp_path: Path) -> None:
    """Jobs of half a second do not exist, so times like these are hours; sorted by arrival."""
    file = written(tmp_path, [(3.5, 2.0, 4), (0, 0.5, 1), (3.5, 1.0, 2)])
    expected = pd.DataFrame(
        {"arrival_h": [0, 3.5, 3.5], "length_h": [0.5, 2, 1], "cpus": [1, 4, 2]}
    )
    pd.testing.assert_frame_equal(read_jobs(file), expected, check_dtype=False)
    pd.testing.assert_frame_equal(read_jobs(file, unit="hours"), expected, check_dtype=False)


@pytest.mark.parametrize(
    "rows",
    [
        [(0, 3600, 1), (7200, 40_000, 2)],
        [(0, 60, 1), (LONGEST_SPAN_H + 1, 60, 1)],
    ],
    ids=["a job of years", "arrivals over decades"],
)
def test_long_numbers_are_seconds(tmp_path: Path, rows: list[tuple[object, ...]]) -> None:
    """What would take years in hours is in seconds."""
    made = read_jobs(written(tmp_path, rows))
    assert made["length_h"].to_numpy() == pytest.approx([row[1] / 3600 for row in rows])  # type: ignore[operator]
    assert made["arrival_h"].to_numpy() == pytest.approx([row[0] / 3600 for row in rows])  # type: ignore[operator]


@pytest.mark.parametrize(
    "rows",
    [
        [(0, 10, 1), (20, 30, 1), (50, 12, 2)],
        [(0, LONGEST_JOB_H, 1), (LONGEST_SPAN_H, 60, 1)],
        # Quarters of an hour are also decimal seconds: no evidence.
        [(0.25, 20.75, 1), (20.5, 30.25, 1), (50, 12.75, 2), (60.75, 12.25, 1)],
        # Microseconds are fractions, but not those of an hour.
        [(i + 0.123457 * i, 20.1234567 + i, 1) for i in range(20)],
        # Too few fractions of an hour to be sure.
        [(1 / 3, 20.0, 1), (2.0, 30.0, 1)],
    ],
    ids=["whole", "at the limits", "quarters", "microseconds", "few fractions"],
)
def test_what_may_be_both_is_refused(tmp_path: Path, rows: list[tuple[object, ...]]) -> None:
    """Where both readings are plausible the caller must say which; then both are taken."""
    file = written(tmp_path, rows)
    with pytest.raises(InputError, match=r'unit="hours" or unit="seconds"'):
        read_jobs(file)
    lengths = np.array([row[1] for row in rows], dtype=float)
    assert read_jobs(file, unit="hours")["length_h"].sum() == pytest.approx(lengths.sum())
    assert read_jobs(file, unit="seconds")["length_h"].sum() == pytest.approx(lengths.sum() / 3600)


@pytest.mark.parametrize("digits", [6, 17])
def test_fractions_of_an_hour_are_hours(tmp_path: Path, digits: int) -> None:
    """Long jobs in twelfths of an hour: five minutes in hours, but no clock counts such seconds."""
    rows = [(round(i * 5 / 12, digits), round(20 + i / 12, digits), 1) for i in range(12) if i % 3]
    file = written(tmp_path, rows)
    assert read_jobs(file)["length_h"].max() == pytest.approx(20 + 11 / 12, abs=1e-6)
    with pytest.raises(InputError, match="whole seconds only as fractions of an hour"):
        read_jobs(file, unit="seconds")


def test_a_wrong_unit_is_refused(tmp_path: Path) -> None:
    """A unit that makes no sense for the file is refused, with the reason and the other unit."""
    hours = written(tmp_path, [(0, 0.5, 1), (1, 1.5, 1)], "hours.csv")
    with pytest.raises(InputError, match=r'at most 1 s.*unit="hours"'):
        read_jobs(hours, unit="seconds")
    seconds = written(tmp_path, [(0, 90_000, 1), (3600, 60, 1)], "seconds.csv")
    with pytest.raises(InputError, match=r'10\.2 years.*unit="seconds"'):
        read_jobs(seconds, unit="hours")


def test_times_of_neither_unit_are_refused(tmp_path: Path) -> None:
    """Half of the jobs too short for seconds and one too long for hours: milliseconds, perhaps."""
    file = written(tmp_path, [(0, 1, 1), (1, 2, 1), (2, 5e6, 1)])
    with pytest.raises(InputError, match="neither in hours nor in seconds"):
        read_jobs(file)


def test_unknown_unit(tmp_path: Path) -> None:
    """A unit of another name is refused with those that are known."""
    with pytest.raises(UsageError, match="Did you mean 'hours'"):
        read_jobs(written(tmp_path, [(0, 1, 1)]), unit="hour")  # type: ignore[arg-type]


def test_every_flaw_at_once(tmp_path: Path) -> None:
    """Each bad cell is named by row and column, all in one message."""
    rows = [(0, 1, 1), (-1, 2, 1), ("x", 0, 1), (3, "", 0), (4, "inf", 1.5), (1e13, 1, 1)]
    with pytest.raises(InputError) as caught:
        read_jobs(written(tmp_path, rows))
    found = {(flaw.row, flaw.field) for flaw in caught.value.flaws}
    assert found == {
        *((3, "arrival_time"), (4, "arrival_time"), (7, "arrival_time")),
        *((4, "length"), (5, "length"), (6, "length"), (5, "cpus"), (6, "cpus")),
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("arrival,length,cpus\n0,1,1\n", "arrival_time"),
        (HEAD, "no rows"),
        ("", "empty"),
        (HEAD + "0,1\n", "row 2"),
    ],
)
def test_refuses_other_files(tmp_path: Path, text: str, words: str) -> None:
    """A missing column, no rows, an empty file, a torn row."""
    file = tmp_path / "trace.csv"
    file.write_text(text)
    with pytest.raises(InputError, match=words):
        read_jobs(file)


def test_compressed(tmp_path: Path) -> None:
    """A gzip file is read like a plain one."""
    file = tmp_path / "trace.csv.gz"
    file.write_bytes(gzip.compress(f"{HEAD}0,1.5,2\n".encode()))
    assert read_jobs(file)["length_h"].tolist() == [1.5]


def test_public_traces(shared_data: Path) -> None:
    """Azure is a year in hours, Alibaba a week in seconds; neither file says so."""
    folder = shared_data / "cluster_traces" / "gaia"
    azure = read_jobs(folder / "azure-100k.csv.gz")
    assert (len(azure), azure["arrival_h"].max()) == (99_988, pytest.approx(8759.9166667))
    assert azure["length_h"].max() == pytest.approx(71.9166667)
    alibaba = read_jobs(folder / "pai_1k.csv")
    assert (len(alibaba), alibaba["arrival_h"].max()) == (1000, pytest.approx(604_756 / 3600))
    for name, wrong in (("azure-100k.csv.gz", "seconds"), ("pai_1k.csv", "hours")):
        with pytest.raises(InputError, match=f"cannot be in {wrong}"):
            read_jobs(folder / name, unit=wrong)  # type: ignore[arg-type]
