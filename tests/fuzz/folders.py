"""Instance folders, damaged in every way we could think of, through load, explain, solve and check.

A case starts from a small valid instance and changes its descriptor, its tables or the files
themselves. What comes out must be an instance that keeps all promises of one (its numbers finite,
its copy equal, its plan audited), or one of our errors; a folder that leads outside itself must be
refused. Reading leaves every file as it was.
"""

from __future__ import annotations

import functools
import json
import os
import random
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

import optmodels as om
from optmodels import registry
from optmodels.errors import InfeasibleError, NoSolutionError, UnboundedError
from optmodels.folder import DESCRIPTOR
from optmodels.instance import Instance
from tests.fuzz import nasty
from tests.fuzz.strategies import small_instance
from tests.fuzz.verdict import listing, promise

OUTCOMES = (
    "refused",
    "loaded",
    "loaded, saved, loaded again",
    "solved, saved, checked",
    "infeasible, explained",
    "unbounded",
    "no plan within the limit",
)
VARIANTS = 8
SOLVER_SECONDS = 1.0
OUTSIDE = "outside"


@dataclass(frozen=True)
class Base:
    """A small valid instance, as files in memory."""

    problem: str
    files: dict[str, bytes]
    descriptor: dict[str, Any]
    grids: dict[str, nasty.Grid]


@dataclass
class Damage:
    """What is changed in a folder: contents by name, and tricks with the files themselves."""

    files: dict[str, bytes] = field(default_factory=dict)
    tricks: list[Callable[[Path], None]] = field(default_factory=list)
    hostile: bytes | None = None  # descriptor with a path that leads outside


@functools.cache
def base(problem: str, variant: int, seed: int, table_format: str) -> Base:
    """One of the instances from which the cases of a problem start."""
    made = small_instance(problem, random.Random(f"{seed}/base/{problem}/{variant}"))
    with tempfile.TemporaryDirectory() as folder:
        path = made.save(Path(folder) / "case", table_format=table_format)
        files = {file.name: file.read_bytes() for file in sorted(path.iterdir())}
    grids = {name: nasty.grid_of(raw) for name, raw in files.items() if name.endswith(".csv")}
    return Base(problem, files, json.loads(files[DESCRIPTOR]), grids)


def run(case: int, seed: int, room: Path) -> str:
    """Make one damaged folder and use it; gives its outcome, one of `OUTCOMES`.

    Parameters
    ----------
    case, seed
        Which case: the same two numbers give the same folder.
    room
        Empty folder to work in; it is left empty.
    """
    rng = random.Random(f"{seed}/folders/{case}")
    names = registry.problems()
    table_format = "parquet" if rng.random() < 0.12 else "csv"
    origin = base(names[case % len(names)], rng.randrange(VARIANTS), seed, table_format)
    damage = _damage(origin, rng)
    folder = room / "case"
    folder.mkdir()
    try:
        for name, raw in (origin.files | damage.files).items():
            (folder / name).write_bytes(raw)
        for trick in damage.tricks:
            trick(folder)
        before = listing(room)
        try:
            return _use(folder, rng, leads_outside=_leads_outside(folder, origin, damage))
        finally:
            promise(listing(room) == before, "reading changed the files")
    finally:
        for entry in room.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()


def _leads_outside(folder: Path, origin: Base, damage: Damage) -> bool:
    """Whether reading the folder means reading something else; later damage may undo earlier."""
    descriptor = damage.files.get(DESCRIPTOR)
    if descriptor is not None and descriptor is damage.hostile:
        return True
    named = origin.files if descriptor is None else (DESCRIPTOR,)
    links = [folder / name for name in named if (folder / name).is_symlink()]
    return any("/" in str(link.readlink()) for link in links)


def _use(folder: Path, rng: random.Random, *, leads_outside: bool) -> str:
    loaded = om.load(folder)
    promise(not leads_outside, "a path out of the folder was followed")
    for table in loaded.tables.values():
        for name in table.columns:
            if table[name].dtype.kind == "f":
                promise(bool(np.isfinite(table[name]).all()), f"{name} is not finite")
    further = rng.randrange(12)
    if further == 0:
        promise(bool(repr(loaded)) and bool(loaded._repr_html_()), "no text of an instance")
        return "loaded"
    if further == 1:
        return _again(loaded, rng.choice(("csv", "csv", "parquet")))
    if further == 2:
        return _solved(loaded)
    return "loaded"


def _again(loaded: Instance, table_format: str) -> str:
    with tempfile.TemporaryDirectory() as room:
        path = loaded.save(Path(room) / "again", table_format=table_format)
        promise(om.load(path) == loaded, "an instance does not come back from disk")
        promise(len(list(Path(room).iterdir())) == 1, "saving left something behind")
    return "loaded, saved, loaded again"


def _solved(loaded: Instance) -> str:
    reasons = om.explain(loaded)
    problem = registry.problem(loaded.problem)
    try:
        plan = om.solve(loaded, time_limit_s=SOLVER_SECONDS)
    except InfeasibleError:
        promise(bool(reasons), "infeasible, and nothing explains it")
        return "infeasible, explained"
    except UnboundedError:
        return "unbounded"
    except NoSolutionError:
        return "no plan within the limit"
    promise(problem.soft is not None or not reasons, "explained as infeasible, and yet solved")
    promise(bool(np.isfinite(plan.objective)), "an objective that is not finite")
    if plan.bound is not None:
        slack = 1e-9 * abs(plan.objective)
        promise(plan.bound <= plan.objective + slack, "a bound above the objective")
    with tempfile.TemporaryDirectory() as room:
        plan.save(Path(room) / "plan.json")
        checked = om.check(loaded, Path(room) / "plan.json")
        promise(checked.objective == plan.objective, "a saved plan costs something else")
        promise(len(list(Path(room).iterdir())) == 1, "saving left something behind")
    return "solved, saved, checked"


# ---------------------------------------------------------------------------------------- damage
def _damage(origin: Base, rng: random.Random) -> Damage:
    damage = Damage()
    for _ in range(rng.choice((0, *(1,) * 12, *(2,) * 4, 3))):
        kind = rng.random()
        if kind < 0.25:
            _descriptor_damage(origin, damage, rng)
        elif kind < 0.28:
            raw = damage.files.get(DESCRIPTOR, origin.files[DESCRIPTOR])
            damage.files[DESCRIPTOR] = nasty.bytes_mutated(raw, rng)
        elif kind < 0.85:
            _table_damage(origin, damage, rng)
        elif kind < 0.92:
            _path_damage(origin, damage, rng)
        else:
            _trick(origin, damage, rng)
    return damage


def _descriptor_damage(origin: Base, damage: Damage, rng: random.Random) -> None:
    content: Any = origin.descriptor
    for _ in range(rng.choice((1, 1, 2))):
        content = nasty.json_mutated(content, rng, focus="parameters")
    damage.files[DESCRIPTOR] = nasty.json_text(content, rng)


def _table_damage(origin: Base, damage: Damage, rng: random.Random) -> None:
    name = rng.choice([name for name in origin.files if name != DESCRIPTOR])
    raw = damage.files.get(name, origin.files[name])
    if name in origin.grids:
        damage.files[name] = nasty.table_mutated(raw, origin.grids[name], rng)
    elif rng.random() < 0.4:
        damage.files[name] = nasty.bytes_mutated(raw, rng)
    else:
        damage.files[name] = _parquet_mutated(origin.files[name], rng)


def _parquet_mutated(raw: bytes, rng: random.Random) -> bytes:
    """The table with one column of another type or content."""
    table = parquet.read_table(pa.BufferReader(raw))
    at = rng.randrange(table.num_columns)
    name = table.column_names[at]
    values = table.column(at).to_pylist()
    try:
        column = rng.choice(_COLUMNS)(values, rng)
    except (pa.ArrowException, ValueError, TypeError, OverflowError, ArithmeticError):
        column = pa.nulls(len(values))
    kind = rng.randrange(8)
    if kind == 0:
        table = table.append_column(rng.choice((name, "extra", "")), column)
    elif kind == 1:
        table = table.remove_column(at)
    elif kind == 2:
        table = table.slice(rng.randrange(len(values) + 1))
    else:
        table = table.set_column(at, name, column)
    out = pa.BufferOutputStream()
    parquet.write_table(
        table,
        out,
        compression=rng.choice(("none", "snappy", "gzip", "zstd")),
        use_dictionary=rng.random() < 0.5,
    )
    return out.getvalue().to_pybytes()


def _with_one(values: list[Any], value: Any, rng: random.Random) -> list[Any]:
    changed = list(values)
    if changed:
        changed[rng.randrange(len(changed))] = value
    return changed


_COLUMNS: tuple[Callable[[list[Any], random.Random], Any], ...] = (
    lambda values, rng: pa.array([str(v) for v in values]),
    lambda values, rng: pa.array([str(v) for v in values]).dictionary_encode(),
    lambda values, rng: pa.array([str(v).encode() for v in values]),
    lambda values, rng: pa.array(_with_one(values, None, rng)),
    lambda values, rng: pa.array(
        _with_one(values, rng.choice((np.nan, np.inf, -1.0, 1e308, 5e-324)), rng)
    ),
    lambda values, rng: pa.array([[v] for v in values]),
    lambda values, rng: pa.array([{"a": v} for v in values]),
    lambda values, rng: pa.array(range(len(values)), pa.int8()),
    lambda values, rng: pa.array([2**63 + i for i in range(len(values))], pa.uint64()),
    lambda values, rng: pa.array(values).cast(pa.float32()),
    lambda values, rng: pa.array(values).cast(pa.float16()),
    lambda values, rng: pa.array([i % 2 == 0 for i in range(len(values))]),
    lambda values, rng: pa.array(range(len(values)), pa.date32()),
    lambda values, rng: pa.array(range(len(values)), pa.time64("ns")),
    lambda values, rng: pa.array(range(len(values)), pa.timestamp("s")),
    lambda values, rng: pa.array(
        [rng.choice((0, 2**50, -(2**40), 2**33)) for _ in values], pa.timestamp("s", tz="UTC")
    ),
    lambda values, rng: pa.array(values).cast(pa.timestamp("ms", tz="Europe/Berlin")),
    lambda values, rng: pa.array(range(len(values)), pa.duration("s")),
    lambda values, rng: pa.array(range(len(values)), pa.int64()).cast(pa.decimal128(38, 5)),
    lambda values, rng: pa.nulls(len(values)),
    lambda values, rng: pa.array([nasty.nasty_cell(rng) for _ in values]),
)


def _path_damage(origin: Base, damage: Damage, rng: random.Random) -> None:
    """Another path for one table; all those that lead outside must be refused."""
    content = json.loads(json.dumps(origin.descriptor))
    resource = rng.choice(content["resources"])
    file = str(resource["path"])
    outside = (
        *(f"../case/{file}", f"x/../../case/{file}", f"../{OUTSIDE}/{file}", "/etc/passwd"),
        *(f"..\\{file}", f"C:{file}", f"C:\\{file}", f"\\\\host\\share\\{file}", f"file:{file}"),
        *(f"https://example.org/{file}", f"file:///{file}", "/dev/zero", f"{file}\0", "..", "/"),
        *(f"./../case/{file}", f"~/../{file}\\", f"//case/{file}", f"{file}:stream"),
    )
    inside = (
        *(
            "",
            ".",
            "./",
            f"./{file}",
            f"{file}/",
            f"{file}/.",
            f".//{file}",
            f" {file}",
            f"{file} ",
        ),
        *(DESCRIPTOR, "missing.csv", f"{file}.gz", f"{file}.pkl", "x" * 300, "x/" * 90 + file),
        *(file.upper(), f"%2e%2e/{file}", "~", f"~/{file}", f"$HOME/{file}", "con.csv", "é.csv"),
    )
    if rng.random() < 0.5:
        resource["path"] = rng.choice(outside)
        damage.hostile = json.dumps(content).encode()
        damage.files[DESCRIPTOR] = damage.hostile
    else:
        resource["path"] = rng.choice((*inside, *(f for f in origin.files if f != file)))
        damage.files[DESCRIPTOR] = json.dumps(content).encode()


def _trick(origin: Base, damage: Damage, rng: random.Random) -> None:
    name = rng.choice(list(origin.files))
    kind = rng.randrange(9)

    def to_outside(folder: Path) -> None:
        """Move a file beside the folder and leave a link to it."""
        if (folder / name).is_file() and not (folder / name).is_symlink():
            (folder.parent / OUTSIDE).mkdir(exist_ok=True)
            shutil.move(folder / name, folder.parent / OUTSIDE / name)
            target = folder.parent / OUTSIDE / name
            (folder / name).symlink_to(target if kind == 0 else Path("..") / OUTSIDE / name)

    def to_link(folder: Path, target: str) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(target)

    def to_other(folder: Path, make: Callable[[Path], object]) -> None:
        (folder / name).unlink(missing_ok=True)
        make(folder / name)

    def trick(folder: Path) -> None:
        if (folder / name).is_dir():
            return
        if kind in (0, 1):
            to_outside(folder)
        elif kind == 2:
            to_link(folder, rng.choice((name, "missing", ".", "/dev/zero", "/proc/self/environ")))
        elif kind == 3:
            to_other(folder, os.mkfifo)
        elif kind == 4:
            to_other(folder, Path.mkdir)
        elif kind == 5:
            (folder / name).unlink(missing_ok=True)
        elif kind == 6:
            (folder / rng.choice(("more.csv", ".hidden", "README", "x\ny"))).write_bytes(b"x")
        elif kind == 7:
            # Inside: a link to another name of the same folder is fine.
            if (folder / name).is_file() and not (folder / name).is_symlink():
                (folder / name).rename(folder / "renamed")
                (folder / name).symlink_to("renamed")
        elif (folder / name).is_file() and not (folder / name).is_symlink():
            # Not a pipe or a link that another trick has left there: opening one may never end.
            with (folder / name).open("ab") as stream:
                stream.truncate(2**31)

    damage.tricks.append(trick)
