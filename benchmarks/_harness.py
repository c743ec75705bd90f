"""What all benchmarks share: checks, rows, options, progress, timing, results on disk.

A benchmark is a function ``measure(options) -> Report``. `main` reads the options, calls it, prints
its tables and checks, and writes the results, whole or not at all.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import platform
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal, TypeVar

# Numerical libraries must not start threads of their own: processes share the cores, and times are
# those of one thread. The libraries read this when they are loaded, so a benchmark imports this
# module before any of them.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

import pandas as pd  # noqa: E402

from optmodels.folder import write_text_atomically  # noqa: E402
from optmodels.plan import installed_versions  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
_LARGEST_RESULT_BYTES = 300_000

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class MissingDataError(Exception):
    """The public traces are not beside the project."""


@dataclass(frozen=True)
class Check:
    """A number that must not fall short of its limit.

    Parameters
    ----------
    name
        What is claimed, in words.
    value
        What was measured.
    limit
        What was promised.
    sense
        "<=" if the value must not be above the limit, ">=" if it must not be below.
    """

    name: str
    value: float
    limit: float
    sense: Literal["<=", ">="]

    @property
    def ok(self) -> bool:
        """Whether the claim holds; a value that is not a number never does."""
        if math.isnan(self.value):
            return False
        # A plain bool, whatever numbers were compared: numpy's own is not known to JSON.
        return bool(self.value <= self.limit if self.sense == "<=" else self.value >= self.limit)

    def record(self) -> dict[str, Any]:
        """The check as plain values."""
        value = float(self.value) if math.isfinite(self.value) else None
        return {**asdict(self), "value": value, "ok": self.ok}

    def __str__(self) -> str:
        verdict = "ok  " if self.ok else "FAIL"
        return f"{verdict} {self.name}: {self.value:.10g} {self.sense} {self.limit:.10g}"


@dataclass
class Report:
    """What a benchmark measured.

    Attributes
    ----------
    rows
        The table, one flat record per row.
    checks
        What is judged; the exit code is 1 when one falls short.
    tables
        Short tables for the reader, by title.
    notes
        Sentences that belong to the numbers.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every check holds."""
        return all(check.ok for check in self.checks)


@dataclass(frozen=True)
class Options:
    """What a run was asked for: `quick`, number of processes, seed."""

    quick: bool
    workers: int
    seed: int


def machine() -> dict[str, Any]:
    """Processor, cores and versions: what a time depends on."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "versions": installed_versions(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def shared_data() -> Path:
    """Folder of the public traces.

    Raises
    ------
    MissingDataError
        It is not there.
    """
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        raise MissingDataError(
            f"The public traces are missing: this benchmark reads them from {folder}, which is not "
            "there. Fix: put the data folder beside the project, as 'shared/data'."
        )
    return folder


# --------------------------------------------------------------------------------------- timing
def median_seconds(
    action: Callable[[], object],
    repeats: int = 7,
    *,
    warm: int = 1,
    clock: Callable[[], float] = time.process_time,
) -> float:
    """Median time of an action [s], after `warm` calls that are not counted.

    The default clock counts the processor time of this process, so that other work on the machine
    does not tell in a ratio; it is right for what runs in one thread. Take `time.perf_counter` for
    what waits, or runs elsewhere.
    """
    for _ in range(warm):
        action()
    times = []
    collecting = gc.isenabled()
    gc.disable()
    try:
        for _ in range(repeats):
            started = clock()
            action()
            times.append(clock() - started)
    finally:
        if collecting:
            gc.enable()
    return statistics.median(times)


# ------------------------------------------------------------------------------ progress, workers
class Progress:
    """A counter on stderr, on one line where stderr is a terminal."""

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total, self.done = what, total, 0
        self._started = time.perf_counter()
        self._live = sys.stderr.isatty()

    def advance(self) -> None:
        """Count one more as done."""
        self.done += 1
        seconds = time.perf_counter() - self._started
        text = f"{self.what}: {self.done}/{self.total}, {seconds:.0f} s"
        end = "\r" if self._live and self.done < self.total else "\n"
        print(text, end=end, file=sys.stderr, flush=True)


def in_processes(
    function: Callable[[Item], Answer], items: Sequence[Item], *, workers: int, what: str
) -> Iterator[Answer]:
    """Answers of a function for all items, in the order of the items, with progress on stderr.

    With one worker everything runs in this process. An interrupt ends the workers, too.
    """
    progress = Progress(what, len(items))
    if workers <= 1:
        for item in items:
            answer = function(item)
            progress.advance()
            yield answer
        return
    answers: dict[int, Answer] = {}
    # Leaving the pool, by whatever door, ends its processes.
    with get_context("spawn").Pool(workers, initializer=_leave_interrupts_to_parent) as pool:
        numbered = partial(_numbered, function)
        for index, answer in pool.imap_unordered(numbered, enumerate(items)):
            answers[index] = answer
            progress.advance()
    yield from (answers[index] for index in range(len(items)))


def _numbered(function: Callable[[Item], Answer], item: tuple[int, Item]) -> tuple[int, Answer]:
    index, value = item
    return index, function(value)


def _leave_interrupts_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


# ------------------------------------------------------------------------------------ the command
def main(
    name: str,
    measure: Callable[[Options], Report],
    description: str,
    argv: Sequence[str] | None = None,
) -> int:
    """Run a benchmark from the command line and answer with its exit code.

    0: every check holds. 1: one falls short. 2: the data are missing. 130: interrupted.
    """
    parser = argparse.ArgumentParser(prog=f"benchmarks/{name}.py", description=description)
    parser.add_argument("--quick", action="store_true", help="small run, within 50 s on two cores")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write rows and checks to FILE")
    parser.add_argument(
        "--jobs", metavar="N", type=int, default=os.cpu_count() or 1, help="number of processes"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of every random choice")
    given = parser.parse_args(argv)
    options = Options(given.quick, max(1, given.jobs), given.seed)
    started = time.perf_counter()
    try:
        report = measure(options)
    except MissingDataError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted; no result was written", file=sys.stderr)
        return 130
    head = {
        "benchmark": name,
        "quick": options.quick,
        "seed": options.seed,
        "seconds": round(time.perf_counter() - started, 1),
        "machine": machine(),
    }
    print(_as_text(report, head))
    if given.json is not None:
        write_text_atomically(given.json, _as_json(report, head))
    if not options.quick:
        save(name, report, head)
    return 0 if report.ok else 1


def save(name: str, report: Report, head: Mapping[str, Any], folder: Path = RESULTS) -> None:
    """Keep the results of a full run: the table as CSV, what it says as Markdown.

    Raises
    ------
    ValueError
        The table is too large to be kept in the tree.
    """
    table = pd.DataFrame(report.rows).to_csv(index=False, float_format="%.5g")
    if len(table) > _LARGEST_RESULT_BYTES:
        raise ValueError(f"The table of '{name}' has {len(table)} bytes; keep fewer rows.")
    folder.mkdir(parents=True, exist_ok=True)
    write_text_atomically(folder / f"{name}.csv", table)
    write_text_atomically(folder / f"{name}.md", _as_markdown(report, head))


def _as_json(report: Report, head: Mapping[str, Any]) -> str:
    content = {
        **head,
        "ok": report.ok,
        "checks": [check.record() for check in report.checks],
        "notes": report.notes,
        "tables": {title: _records(frame) for title, frame in report.tables.items()},
        "rows": [_plain(row) for row in report.rows],
    }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [_plain(row) for row in frame.to_dict("records")]


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Plain values for JSON; what is not a finite number is null."""
    return {
        str(name): None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in ((n, getattr(v, "item", lambda v=v: v)()) for n, v in row.items())
    }


def _head_lines(head: Mapping[str, Any]) -> list[str]:
    where = head["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
    return [
        f"{head['benchmark']}{' (quick)' if head['quick'] else ''}, seed {head['seed']}, "
        f"{head['seconds']} s",
        f"{where['processor']}, {where['cores']} cores, {where['system']}; {versions}",
    ]


def _as_text(report: Report, head: Mapping[str, Any]) -> str:
    parts = ["\n".join(_head_lines(head))]
    for title, frame in report.tables.items():
        parts.append(f"{title}\n{frame.to_string(index=False, na_rep='-', float_format='%.4g')}")
    parts += report.notes
    parts.append("\n".join(["Checks", *map(str, report.checks)]))
    return "\n\n".join(parts)


def _as_markdown(report: Report, head: Mapping[str, Any]) -> str:
    lines = [f"# {head['benchmark']}", "", *_head_lines(head), "", "## Checks", ""]
    checks = pd.DataFrame([check.record() for check in report.checks])
    lines += [*_markdown_table(checks), ""]
    for title, frame in report.tables.items():
        lines += [f"## {title}", "", *_markdown_table(frame), ""]
    lines += [line for note in report.notes for line in (note, "")]
    return "\n".join(lines).rstrip() + "\n"


def _markdown_table(frame: pd.DataFrame) -> Iterable[str]:
    def cell(value: object) -> str:
        if isinstance(value, float):
            return "–" if math.isnan(value) else f"{value:.5g}"
        return str(value).replace("|", "\\|")

    yield "| " + " | ".join(map(cell, frame.columns)) + " |"
    yield "|" + " --- |" * len(frame.columns)
    for row in frame.itertuples(index=False):
        yield "| " + " | ".join(map(cell, row)) + " |"
