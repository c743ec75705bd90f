"""Instance folders: exact round trips, a public validator's verdict, and every refusal."""

from __future__ import annotations

import builtins
import json
import os
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow
import pytest
from frictionless import validate
from pyarrow import parquet

import optmodels as om
from optmodels import atomic, folder
from optmodels.errors import InputError, MissingExtraError, UsageError
from optmodels.scaling.job.instance import JobInstance

START = pd.Timestamp("2022-06-01", tz="UTC")
PARAMETERS = {"work": 4.0, "switching_g": 20.0, "deadline_slots": 8, "slot_minutes": 60.0}


def series(values, start=START):
    """Hourly carbon table."""
    times = pd.date_range(start, periods=len(values), freq="h")
    return pd.DataFrame({"time": times, "carbon_g_per_kwh": np.asarray(values, dtype=float)})


def full_instance(**changes):
    """Instance that has every table, and numbers that need all their digits."""
    rng = np.random.default_rng(3)
    carbon = series(rng.uniform(0, 500, 9) / 3)
    issued = carbon.assign(issue_time=START)[["issue_time", "time", "carbon_g_per_kwh"]]
    tables = {
        "carbon": carbon,
        "history": series(rng.uniform(0, 1e-3, 24), START - pd.Timedelta(days=1)),
        "profile": pd.DataFrame(
            {"servers": [1.0, 2.0], "throughput": [1.0, 1.9], "power_kw": [0.1 + 0.2, 1 / 3]}
        ),
        "forecast": issued,
    }
    return JobInstance(PARAMETERS | {"zone": "é→'\"<x>"} | changes, tables, origin='made "by" hand')


@pytest.fixture
def saved(tmp_path):
    """Folder of the full instance, to be damaged."""
    return full_instance().save(tmp_path / "case")


@pytest.mark.parametrize("table_format", ["csv", "parquet"])
@pytest.mark.parametrize("name", ["plain", "Ünusual näme 中 (1)"])
def test_round_trip_is_exact_and_the_public_validator_agrees(tmp_path, table_format, name):
    """Every digit, every instant and every text comes back; frictionless finds nothing wrong."""
    made = full_instance()
    path = made.save(tmp_path / name, table_format=table_format)
    loaded = om.load(path)
    assert loaded == made
    assert loaded.origin == made.origin
    assert loaded.parameters == made.parameters
    for label, frame in made.tables.items():
        pd.testing.assert_frame_equal(loaded.tables[label], frame, check_exact=True)
    report = validate(str(path / folder.DESCRIPTOR))
    assert report.valid, report.flatten(["type", "message"])
    assert sorted(p.name for p in tmp_path.iterdir()) == [name]


def test_the_public_validator_sees_a_fault(saved):
    """The verdict above means something: a broken table is not valid."""
    text = (saved / "carbon.csv").read_text().replace("2022-06-01T03:00:00Z", "yesterday")
    (saved / "carbon.csv").write_text(text)
    assert not validate(str(saved / folder.DESCRIPTOR)).valid


def change_json(path, change):
    """Load the descriptor, change it, write it."""
    file = path / folder.DESCRIPTOR
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def block(**values):
    """Change of the block."""
    return lambda path: change_json(path, lambda c: c["optmodels"].update(values))


def parameter(**values):
    """Change of parameters."""
    return lambda path: change_json(path, lambda c: c["optmodels"]["parameters"].update(values))


def resource(**values):
    """Change of the first resource, the carbon table."""
    return lambda path: change_json(path, lambda c: c["resources"][0].update(values))


def descriptor(text):
    """Another descriptor."""
    return lambda path: (path / folder.DESCRIPTOR).write_bytes(text)


def line(number, new):
    """Replace one line of carbon.csv, counted as a spreadsheet does; None removes it."""

    def change(path):
        lines = (path / "carbon.csv").read_text().splitlines()
        lines[number - 1 : number] = [] if new is None else [new]
        (path / "carbon.csv").write_text("\n".join(lines) + "\n")

    return change


def cut(size):
    """Keep only the first bytes of carbon.csv; negative: cut off from the end."""

    def change(path):
        raw = (path / "carbon.csv").read_bytes()
        (path / "carbon.csv").write_bytes(raw[:size])

    return change


def table(text):
    """Another carbon.csv."""
    return lambda path: (path / "carbon.csv").write_bytes(text)


def as_parquet(change):
    """Carbon as Parquet, with a changed frame."""

    def apply(path):
        change(full_instance().tables["carbon"]).to_parquet(path / "carbon.parquet")
        resource(path="carbon.parquet")(path)

    return apply


def damaged_parquet(path):
    """Parquet whose middle has been overwritten."""
    as_parquet(lambda frame: frame)(path)
    raw = bytearray((path / "carbon.parquet").read_bytes())
    raw[20 : len(raw) - 60] = b"x" * (len(raw) - 80)
    (path / "carbon.parquet").write_bytes(bytes(raw))


def descriptor_folder(path):
    """A folder where the descriptor should be."""
    (path / folder.DESCRIPTOR).unlink()
    (path / folder.DESCRIPTOR).mkdir()


def link_outside(path):
    """A link to a table outside the folder."""
    shutil.move(path / "carbon.csv", path.parent / "outside.csv")
    (path / "carbon.csv").symlink_to(path.parent / "outside.csv")


def linked_descriptor(path):
    """A link to a sound descriptor outside the folder."""
    shutil.move(path / folder.DESCRIPTOR, path.parent / folder.DESCRIPTOR)
    (path / folder.DESCRIPTOR).symlink_to(path.parent / folder.DESCRIPTOR)


def linked_subfolder(path):
    """A table in a subfolder that is a link to a folder outside."""
    (path.parent / "outside").mkdir()
    shutil.move(path / "carbon.csv", path.parent / "outside" / "carbon.csv")
    (path / "tables").symlink_to(path.parent / "outside")
    resource(path="tables/carbon.csv")(path)


def circular_link(path):
    """A link to itself."""
    (path / "carbon.csv").unlink()
    (path / "carbon.csv").symlink_to(path / "carbon.csv")


def pipe(path):
    """A named pipe: opening it would block for ever."""
    (path / "carbon.csv").unlink()
    os.mkfifo(path / "carbon.csv")


def parquet_pipe(path):
    """The same under the name of a Parquet file."""
    os.mkfifo(path / "carbon.parquet")
    resource(path="carbon.parquet")(path)


DEEP = b'{"optmodels":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
HOUR = "2022-06-01T03:00:00Z"

FAULTS = {
    "missing column": (line(1, "time,carbon"), ["carbon.csv", "row 1", "carbon_g_per_kwh"]),
    "text in a number": (line(5, f"{HOUR},many"), ["carbon.csv", "row 5", "'many'", "a number"]),
    "NaN": (line(5, f"{HOUR},NaN"), ["row 5", "carbon_g_per_kwh", "is missing"]),
    "empty cell": (line(5, f"{HOUR},"), ["row 5", "is missing"]),
    "negative intensity": (line(5, f"{HOUR},-3"), ["row 5", "-3", "too small", "≥ 0"]),
    "absurd intensity": (line(5, f"{HOUR},1e300"), ["row 5", "1e300", "too large"]),
    "naive time": (line(5, "2022-06-01T03:00:00,1"), ["row 5", "no time zone", "offset"]),
    "epoch as time": (line(5, "1654041600,1"), ["row 5", "1654041600", "not a time"]),
    "duplicated hour": (line(5, "2022-06-01T02:00:00Z,1"), ["row 5", "repeats", "02:00:00"]),
    "missing hour": (line(5, None), ["carbon.csv", "row 5", "2022-06-01T03:00:00+00:00 is missi"]),
    "decreasing power": (
        lambda path: (path / "profile.csv").write_text(
            "servers,throughput,power_kw\n2,2,1\n1,1,1.5\n"
        ),
        ["profile.csv", "row 2", "power_kw", "at least 1.5"],
    ),
    "work 0": (parameter(work=0), ["work", "too small", "> 0"]),
    "work as text": (parameter(work="4"), ["work", "'4'", "not a number"]),
    "work true": (parameter(work=True), ["work", "not a number"]),
    "work null": (parameter(work=None), ["work", "not a number"]),
    "huge slot": (parameter(slot_minutes=1e300), ["slot_minutes", "too large"]),
    "tiny slot": (parameter(slot_minutes=1e-300), ["slot_minutes", "too small"]),
    "rate cap beyond the profile": (parameter(rate_cap=9), ["rate_cap", "at most 2"]),
    "unknown parameter": (parameter(switchingg=1), ["switchingg", "rename it to 'switching_g'"]),
    "parameters a list": (block(parameters=[1]), ["parameters", "an object"]),
    "parent folder": (resource(path="../case/carbon.csv"), ["'../case/carbon.csv'", "leads out"]),
    "absolute path": (resource(path="/etc/passwd"), ["'/etc/passwd'", "leads out"]),
    "backslash": (resource(path="..\\carbon.csv"), ["leads out"]),
    "URL": (resource(path="https://example.org/carbon.csv"), ["leads out"]),
    "drive": (resource(path="c:carbon.csv"), ["leads out"]),
    "NUL in a path": (resource(path="carbon\0.csv"), ["leads out"]),
    "overlong path": (resource(path="x" * 5000 + ".csv"), ["'xxx", "too long"]),
    "unknown format": (resource(path="carbon.pkl"), ["'carbon.pkl'", "unknown format"]),
    "path a list": (resource(path=["carbon.csv"]), ["resource 1.path", "one text"]),
    "path a number": (resource(path=7), ["resource 1.path", "7"]),
    "name missing": (resource(name=None), ["resource 1.name"]),
    "link outside": (link_outside, ["carbon.csv", "leads out"]),
    "linked descriptor": (linked_descriptor, [folder.DESCRIPTOR, "leads out", "Fix"]),
    "linked subfolder": (linked_subfolder, ["'tables/carbon.csv'", "leads out"]),
    "circular link": (circular_link, ["carbon.csv"]),
    "pipe": (pipe, ["carbon.csv", "not a regular file"]),
    "Parquet pipe": (parquet_pipe, ["carbon.parquet", "not a file"]),
    "newer version": (block(format_version=2), ["format_version", "2", "upgrade"]),
    "version as text": (block(format_version="1"), ["format_version", "whole number"]),
    "version 0": (block(format_version=0), ["format_version", "0"]),
    "version true": (block(format_version=True), ["format_version"]),
    "unknown problem": (block(problem="scaling.jobs"), ["scaling.jobs", "Did you mean"]),
    "problem a list": (block(problem=["scaling.job"]), ["problem", "the name of a problem"]),
    "origin a number": (block(origin=3), ["origin"]),
    "cut in a line": (cut(-7), ["carbon.csv", "row 10", "cut off in the middle"]),
    "cut at a line end": (line(10, None), []),
    "rows missing at the end": (
        lambda path: [line(10, None)(path), line(9, None)(path)],
        ["carbon.csv", "7 slots", "deadline after 8", "cut off"],
    ),
    "header only": (table(b"time,carbon_g_per_kwh\n"), ["carbon.csv", "no rows"]),
    "empty file": (table(b""), ["carbon.csv", "empty"]),
    "binary file": (table(bytes(range(256))), ["carbon.csv"]),
    "UTF-16": (table("time,carbon_g_per_kwh\n".encode("utf-16")), ["carbon.csv", "UTF-16"]),
    "no table file": (lambda path: (path / "carbon.csv").unlink(), ["carbon.csv", "not found"]),
    "table listed twice": (
        lambda path: change_json(path, lambda c: c["resources"].append(c["resources"][0])),
        ["carbon", "listed twice"],
    ),
    "table not listed": (
        lambda path: change_json(path, lambda c: c["resources"].pop(0)),
        ["carbon", "missing from the resources"],
    ),
    "unknown table": (resource(name="carbn"), ["carbn", "not a table of this problem"]),
    "resources an object": (
        lambda path: change_json(path, lambda c: c.update(resources={})),
        ["resources", "a list"],
    ),
    "resource a text": (
        lambda path: change_json(path, lambda c: c.update(resources=["carbon.csv"])),
        ["resource 1", "an object"],
    ),
    "malformed JSON": (descriptor(b"{"), [folder.DESCRIPTOR, "not valid JSON"]),
    "not UTF-8": (descriptor(b"\xff\xff"), [folder.DESCRIPTOR, "not valid JSON"]),
    "NaN in JSON": (descriptor(b'{"optmodels": NaN}'), ["NaN is not a JSON number"]),
    "1e400 in JSON": (
        lambda path: [
            parameter(work=12345)(path),
            (path / folder.DESCRIPTOR).write_text(
                (path / folder.DESCRIPTOR).read_text().replace("12345", "1e400")
            ),
        ],
        ["work", "not finite"],
    ),
    "name twice in JSON": (descriptor(b'{"a": 1, "a": 2}'), ["'a' is given twice"]),
    "half a character": (descriptor(b'{"optmodels": "\\ud800"}'), ["not valid JSON"]),
    "deep JSON": (descriptor(DEEP), [folder.DESCRIPTOR]),
    "endless digits": (descriptor(b"9" * 10_000), [folder.DESCRIPTOR]),
    "JSON list": (descriptor(b"[]"), [folder.DESCRIPTOR, "optmodels"]),
    "no block": (descriptor(b"{}"), [folder.DESCRIPTOR, "optmodels", "is missing"]),
    "no descriptor": (
        lambda path: (path / folder.DESCRIPTOR).unlink(),
        [folder.DESCRIPTOR, "cannot be read"],
    ),
    "descriptor a folder": (descriptor_folder, [folder.DESCRIPTOR, "not a file"]),
    "damaged Parquet": (damaged_parquet, ["carbon.parquet", "Parquet"]),
    "no Parquet": (
        lambda path: [
            (path / "carbon.parquet").write_bytes(b"PAR1"),
            resource(path="carbon.parquet")(path),
        ],
        ["carbon.parquet", "Parquet"],
    ),
    "Parquet missing": (resource(path="carbon.parquet"), ["carbon.parquet", "not found"]),
    "Parquet strings": (
        as_parquet(lambda f: f.assign(carbon_g_per_kwh=f["carbon_g_per_kwh"].astype(str))),
        ["carbon.parquet", "row 2", "not a number", "column of text"],
    ),
    "Parquet booleans": (
        as_parquet(lambda f: f.assign(carbon_g_per_kwh=True)),
        ["carbon.parquet", "True", "not a number"],
    ),
    "Parquet integer times": (
        as_parquet(lambda f: f.assign(time=range(len(f)))),
        ["carbon.parquet", "row 2", "not a time"],
    ),
    "Parquet naive times": (
        as_parquet(lambda f: f.assign(time=f["time"].dt.tz_localize(None))),
        ["carbon.parquet", "row 2", "no time zone"],
    ),
    "Parquet nulls": (
        as_parquet(lambda f: f.assign(carbon_g_per_kwh=f["carbon_g_per_kwh"].where(f.index != 3))),
        ["carbon.parquet", "row 5", "is missing"],
    ),
    "Parquet lists": (
        as_parquet(lambda f: f.assign(carbon_g_per_kwh=[[1.0]] * len(f))),
        ["carbon.parquet", "carbon_g_per_kwh", "no plain values"],
    ),
}
#: Not a fault: the table has one row more than the deadline needs.
HARMLESS = ("cut at a line end",)


@pytest.mark.parametrize("name", [name for name in FAULTS if name not in HARMLESS])
def test_bad_input_gives_one_clear_message(saved, name):
    """Each fault is named with its place, its value and what is allowed, and nothing is written."""
    change, words = FAULTS[name]
    change(saved)
    files = sorted(saved.parent.rglob("*"))
    with pytest.raises(InputError) as caught:
        om.load(saved)
    message = str(caught.value)
    for word in words:
        assert word in message
    assert len(message) < 3000
    assert sorted(saved.parent.rglob("*")) == files


def test_rows_beyond_the_deadline_are_not_needed(saved):
    """A file cut at a line end is an instance as long as it reaches the deadline."""
    FAULTS["cut at a line end"][0](saved)
    assert om.load(saved).slots == 8


def test_all_flaws_of_a_folder_are_told_together(saved):
    """Descriptor, parameters and two tables: one error names them all."""
    parameter(work=0, zonee="x")(saved)
    line(3, "x,y")(saved)
    (saved / "profile.csv").write_text("servers,throughput\n1,1\n")
    (saved / "history.csv").unlink()
    with pytest.raises(InputError) as caught:
        om.load(saved)
    fields = {(flaw.file, flaw.field) for flaw in caught.value.flaws}
    assert fields == {
        ("datapackage.json", "work"),
        ("datapackage.json", "zonee"),
        ("carbon.csv", "time"),
        ("carbon.csv", "carbon_g_per_kwh"),
        ("profile.csv", "power_kw"),
        ("history.csv", None),
    }


def test_flaws_across_tables_are_told_beside_flaws_of_an_optional_table(saved):
    """A missing hour is not hidden by a bad forecast."""
    line(5, None)(saved)
    (saved / "forecast.csv").write_text("issue_time,time,carbon_g_per_kwh\nx,x,x\n")
    with pytest.raises(InputError) as caught:
        om.load(saved)
    assert {flaw.file for flaw in caught.value.flaws} == {"carbon.csv", "forecast.csv"}


def test_a_huge_field_is_refused_with_little_memory(saved):
    """200 MB in one field (a sparse file here) are refused at once, not read."""
    with (saved / "carbon.csv").open("r+b") as stream:
        stream.seek(0, os.SEEK_END)
        stream.write(b"2022-06-01T09:00:00Z,")
        stream.truncate(200_000_000)
    tracemalloc.start()
    with pytest.raises(InputError, match=r"carbon\.csv, row 11"):
        om.load(saved)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 30e6


def test_a_huge_descriptor_is_refused_with_little_memory(saved):
    """The same for the descriptor."""
    with (saved / folder.DESCRIPTOR).open("r+b") as stream:
        stream.truncate(2**30)
    tracemalloc.start()
    with pytest.raises(InputError, match="too large"):
        om.load(saved)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 60e6


def test_a_parquet_bomb_is_refused_before_it_unpacks(saved, monkeypatch):
    """The file's own account of its rows is read first."""
    as_parquet(lambda frame: frame)(saved)
    monkeypatch.setattr(folder, "MAX_ROWS", 8)
    with pytest.raises(InputError, match="too large"):
        om.load(saved)


def test_a_text_that_stands_once_in_a_parquet_file_is_held_once(saved):
    """9 MB by 20,000 rows are 400 kB in the file, and would be 180 GB as one text per row."""
    word = pyarrow.array(["x" * 9_000_000])
    rows = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 20_000, "int32"), word)
    parquet.write_table(pyarrow.table({"time": rows}), saved / "carbon.parquet")
    resource(path="carbon.parquet")(saved)
    begin = pyarrow.total_allocated_bytes()
    with pytest.raises(InputError, match="not a time"):
        om.load(saved)
    assert pyarrow.total_allocated_bytes() - begin < 100e6


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t"])
def test_names_that_a_spreadsheet_would_run_are_refused(tmp_path, sign):
    """An instance is opened in spreadsheets: its names must not be formulas; numbers may be < 0."""
    made = om.generate("placement.accelerators", seed=0, apps=2)
    path = made.save(tmp_path / "case")
    name = next(f for f in sorted(path.iterdir()) if f.suffix == ".csv" and "app" in f.name)
    text = name.read_text()
    first = text.splitlines()[1].split(",")[0]
    name.write_text(text.replace(first, f"{sign}1+1", 1))
    with pytest.raises(InputError, match="run it as a formula"):
        om.load(path)


@pytest.mark.parametrize("path", ["nothing", "file", "", "nul\0", "x" * 5000])
def test_paths_that_are_no_folder(tmp_path, path):
    """Absent, a file, absurd: an InputError, never a foreign one."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError):
        om.load(tmp_path / path if path else "")


def test_the_folder_is_found_through_links_and_subfolders(saved):
    """A linked instance folder, and tables in a subfolder, are inside."""
    (saved / "tables").mkdir()
    shutil.move(saved / "carbon.csv", saved / "tables" / "carbon.csv")
    resource(path="tables/carbon.csv")(saved)
    (saved.parent / "link").symlink_to(saved)
    assert om.load(saved.parent / "link") == full_instance()


def test_parquet_without_its_extra_is_explained(tmp_path, monkeypatch):
    """Without pyarrow both directions name the extra to install, and nothing is left behind."""
    path = full_instance().save(tmp_path / "case", table_format="parquet")
    real = builtins.__import__

    def without_pyarrow(name, *args, **kwargs):
        if name.split(".")[0] == "pyarrow":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_pyarrow)
    with pytest.raises(MissingExtraError, match=r"optmodels\[parquet\]"):
        om.load(path)
    with pytest.raises(MissingExtraError, match=r"optmodels\[parquet\]"):
        full_instance().save(tmp_path / "a" / "b", table_format="parquet")
    assert [p.name for p in tmp_path.iterdir()] == ["case"]


# ------------------------------------------------------------------------------ all or nothing
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, OSError(28, "disk full")])
@pytest.mark.parametrize("after", [0, 1, 4, 5])
@pytest.mark.parametrize("exists", [False, True])
def test_an_interrupted_save_leaves_nothing(tmp_path, monkeypatch, error, after, exists):
    """Neither half a folder nor litter; an old folder stays until the new one is complete."""
    target = tmp_path / "new" / "case"
    if exists:
        full_instance(work=1.0).save(target)
    calls = []

    def failing(real):
        def call(*args, **kwargs):
            calls.append(1)
            if len(calls) > after:
                raise error
            return real(*args, **kwargs)

        return call

    monkeypatch.setattr(folder, "_write_resource", failing(folder._write_resource))
    if after == 4:
        monkeypatch.setattr(folder.json, "dumps", failing(json.dumps))
    if after == 5:
        monkeypatch.setattr(Path, "rename", failing(Path.rename))
        calls.append(1)
    expected = UsageError if isinstance(error, OSError) else error
    if after == 5 and not exists:
        calls.append(1)
    with pytest.raises(expected):
        full_instance().save(target, overwrite=True)
    monkeypatch.undo()
    if exists:
        assert [p.name for p in target.parent.iterdir()] == ["case"]
        assert om.load(target) == full_instance(work=1.0)
    else:
        assert list(tmp_path.iterdir()) == []


def test_the_old_folder_comes_back_when_the_new_one_cannot_be_moved(tmp_path, monkeypatch):
    """The moment between the two moves: the second one fails."""
    target = full_instance(work=1.0).save(tmp_path / "case")
    real = Path.rename

    def failing(self, to):
        if self.name.startswith(".case-") and not self.name.startswith(".case-old-"):
            raise KeyboardInterrupt
        return real(self, to)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(KeyboardInterrupt):
        full_instance().save(target, overwrite=True)
    monkeypatch.undo()
    assert om.load(target) == full_instance(work=1.0)
    assert [p.name for p in tmp_path.iterdir()] == ["case"]


def test_overwriting_replaces_all_of_the_old_folder(tmp_path):
    """No table of the old instance survives in the new folder."""
    target = full_instance().save(tmp_path / "case", table_format="parquet")
    with pytest.raises(UsageError, match="exists"):
        full_instance().save(target)
    full_instance().replace(forecast=None).save(target, overwrite=True)
    names = {p.name for p in target.iterdir()}
    assert names == {folder.DESCRIPTOR, "carbon.csv", "history.csv", "profile.csv"}


@pytest.mark.parametrize("extra", ["notes.txt", "sub/carbon.csv", None])
def test_overwriting_never_destroys_anything_else(tmp_path, extra):
    """A folder with other files, without a descriptor, or a file is left alone."""
    target = tmp_path / "case"
    if extra is None:
        target.write_text("precious")
    else:
        full_instance().save(target)
        (target / extra).parent.mkdir(exist_ok=True)
        (target / extra).write_text("precious")
    with pytest.raises(UsageError, match="will not be overwritten"):
        full_instance().save(target, overwrite=True)
    kept = target if extra is None else target / extra
    assert kept.read_text() == "precious"


@pytest.mark.parametrize("path", ["", ".", "nul\0", "x" * 5000, "/proc/no/where", "/dev/null/case"])
def test_targets_that_cannot_be_written(tmp_path, monkeypatch, path):
    """The system's refusal becomes a UsageError."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError):
        full_instance().save(path)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_table_format_is_refused_with_a_suggestion(tmp_path):
    """Before anything is written."""
    with pytest.raises(UsageError, match="parquet"):
        full_instance().save(tmp_path / "case", table_format="parket")
    assert list(tmp_path.iterdir()) == []


def test_text_files_are_written_completely_or_not_at_all(tmp_path, monkeypatch):
    """The old text stays when the new one fails half way."""
    file = tmp_path / "a" / "text"
    atomic.write_text_atomically(file, "old")
    with pytest.raises(UsageError):
        atomic.write_text_atomically(file, "half \ud800")
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        atomic.write_text_atomically(file, "new")
    assert file.read_text() == "old"
    assert [p.name for p in file.parent.iterdir()] == ["text"]


# ------------------------------------------------------------------------------------- mutation
BYTES = [b"\0", b"\xff", b'"', b"\n", b"\r", b",", b"-", b"e", b"9", b"{", b"]", b"\\", b" ", b"N"]
WORDS = [b"NaN", b"1e400", b"null", b"true", b"[]", b"{}", b'""', b"..", b"9" * 30, b"\\ud800"]


def mutated(raw, rng):
    """Bytes flipped, cut, inserted, doubled or swapped for nasty words, one to three times."""
    raw = bytearray(raw)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(len(raw) + 1))
        length = int(rng.integers(1, 20))
        kind = rng.integers(6)
        if kind == 0 and raw:
            raw[min(at, len(raw) - 1)] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            del raw[at : at + length]
        elif kind == 2:
            raw[at:at] = BYTES[rng.integers(len(BYTES))]
        elif kind == 3:
            raw[at:at] = raw[at : at + length * 5]
        elif kind == 4:
            del raw[at:]
        else:
            raw[at : at + length] = WORDS[rng.integers(len(WORDS))]
    return bytes(raw)


def test_mutated_folders_give_an_instance_or_a_refusal(tmp_path):
    """Whatever happens to the bytes: an instance that is usable, or an InputError."""
    path = full_instance().replace(history=None, forecast=None).save(tmp_path / "case")
    rng = np.random.default_rng(11)
    files = sorted(path.iterdir())
    contents = {file: file.read_bytes() for file in files}
    outcomes = {"instance": 0, "refused": 0}
    for _ in range(500):
        file = files[rng.integers(len(files))]
        file.write_bytes(mutated(contents[file], rng))
        try:
            found = om.load(path)
            assert np.isfinite(found.carbon).all()
            assert np.isfinite(found.profile.power_kw).all()
            assert found.cap > 0
            outcomes["instance"] += 1
        except InputError as error:
            assert error.flaws
            outcomes["refused"] += 1
        file.write_bytes(contents[file])
    assert min(outcomes.values()) > 20


def test_mutated_parquet_gives_an_instance_or_a_refusal(tmp_path):
    """The same for the binary format, whose reader is not ours."""
    path = full_instance().save(tmp_path / "case", table_format="parquet")
    rng = np.random.default_rng(12)
    file = path / "carbon.parquet"
    content = file.read_bytes()
    for _ in range(200):
        file.write_bytes(mutated(content, rng))
        try:
            assert om.load(path).slots == 8
        except InputError as error:
            assert error.flaws
