"""Processes that run cases under watch: a clock that no hang can stop, a bound on memory.

Each worker takes every n-th case. Before a case it notes its number and sets an alarm that ends the
process from a thread of its own, whatever C code it hangs in; the parent finds the number, counts a
hang, and starts a fresh worker behind it. Address space is bounded, so that a case that wants too
much gets a MemoryError and not the machine; the peak of the resident memory is looked at after
each case.
"""

from __future__ import annotations

import faulthandler
import importlib
import multiprocessing
import resource
import shutil
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optmodels.errors import InputError, OptmodelsError, UsageError
from tests.fuzz.verdict import BrokenPromiseError, fit_for_people

KINDS = ("folders", "traces", "plans")
CASE_SECONDS = 10.0
MEMORY_BYTES = 2**30
#: Address space beyond what is in use when a worker starts: threads reserve far more than they use.
_ADDRESS_BYTES = 3 * 2**30
_SHOWN = 500
_POLL_SECONDS = 0.2
#: Outcomes of all kinds that a module does not name itself.
FAILED, REFUSED, OTHER = "failed", "refused", "another of our errors"
_UNKNOWN = 0


@dataclass(frozen=True)
class Failure:
    """A case that ended as none may."""

    kind: str
    case: int
    what: str


@dataclass
class Tally:
    """What became of the cases of one kind."""

    kind: str
    cases: int
    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    seconds: float = 0.0
    slowest_seconds: float = 0.0
    slowest_case: int = 0
    peak_bytes: int = 0


def outcomes_of(kind: str) -> tuple[str, ...]:
    """Names of what may become of a case."""
    module = importlib.import_module(f"tests.fuzz.{kind}")
    own: tuple[str, ...] = module.OUTCOMES
    return tuple(dict.fromkeys((*own, REFUSED, OTHER, FAILED)))


def judged(kind: str, case: int, seed: int, room: Path) -> tuple[str, str]:
    """Run one case; its outcome, and what was wrong with it, if anything."""
    run: Callable[[int, int, Path], str] = importlib.import_module(f"tests.fuzz.{kind}").run
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return run(case, seed, room), ""
    except BrokenPromiseError as error:
        return FAILED, f"broken promise: {error}"
    except OptmodelsError as error:
        name = type(error).__name__
        if error.exit_code == 1:
            return FAILED, f"{name}: {str(error)[:_SHOWN]}"
        try:
            fit_for_people(error)
        except BrokenPromiseError as broken:
            return FAILED, f"{name}: {broken}"
        return REFUSED if isinstance(error, InputError | UsageError) else OTHER, ""
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        places = traceback.extract_tb(error.__traceback__)
        own = [p for p in places if "optmodels" in p.filename or "fuzz" in p.filename]
        last = (own or places)[-1]
        place = f"{'/'.join(Path(last.filename).parts[-3:])}:{last.lineno}"
        return FAILED, f"{type(error).__name__}: {str(error)[:_SHOWN]} ({place})"


def _work(
    kind: str,
    cases: range,
    seed: int,
    base: Path,
    shared: tuple[Any, Any],
    pipe: Any,
) -> None:
    codes, now = shared
    names = outcomes_of(kind)
    limit = _address_limit(kind)
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    room = Path(tempfile.mkdtemp(dir=base))
    with (room.parent / f"{room.name}.trace").open("w") as trace:
        room.mkdir(exist_ok=True)
        for case in cases:
            now.value = case
            faulthandler.dump_traceback_later(CASE_SECONDS, exit=True, file=trace)
            begin = time.perf_counter()
            outcome, wrong = judged(kind, case, seed, room)
            seconds = time.perf_counter() - begin
            faulthandler.cancel_dump_traceback_later()
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            if not wrong and peak > MEMORY_BYTES:
                outcome, wrong = FAILED, f"peak of memory {peak / 2**20:.0f} MB, or a leak up to it"
            codes[case] = names.index(outcome) + 1
            if wrong or seconds > 1:
                pipe.send((case, wrong, seconds, peak))
            if peak > MEMORY_BYTES:
                break  # the next cases shall not be blamed: a fresh worker goes on
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        pipe.send((-1, "", 0.0, peak))


def _address_limit(kind: str) -> int:
    importlib.import_module(f"tests.fuzz.{kind}")
    if kind != "traces":
        # The problems and the solver come with hundreds of megabytes of code.
        for problem in importlib.import_module("optmodels.registry").problems():
            importlib.import_module(f"optmodels.{problem}")
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
    return pages * resource.getpagesize() + _ADDRESS_BYTES


@dataclass
class _Worker:
    cases: range
    now: Any
    pipe: Any
    process: Any


def run_cases(
    kind: str,
    cases: range,
    seed: int,
    *,
    jobs: int = 2,
    report: Callable[[int], None] | None = None,
) -> Tally:
    """Run cases in processes of their own.

    Parameters
    ----------
    kind
        One of `KINDS`.
    cases
        Their numbers.
    seed
        With the number it says what a case is.
    jobs
        Processes at a time.
    report
        Called now and then with the number of cases done.
    """
    context = multiprocessing.get_context("spawn")
    codes = context.Array("B", cases.stop, lock=False)
    tally = Tally(kind, len(cases))
    begin = time.perf_counter()
    base = Path(tempfile.mkdtemp(prefix="optmodels-fuzz-", dir=_memory_folder()))
    try:
        workers: list[_Worker] = []

        def start(share: range) -> None:
            now = context.Value("q", -1, lock=False)
            near, far = context.Pipe(duplex=False)
            work = (kind, share, seed, base, (codes, now), far)
            process = context.Process(target=_work, args=work, daemon=True)
            process.start()
            far.close()
            workers.append(_Worker(share, now, near, process))

        for job in range(jobs):
            share = cases[job::jobs]
            if share:
                start(share)
        while workers:
            workers[0].process.join(_POLL_SECONDS)
            for worker in list(workers):
                alive = worker.process.is_alive()
                _collected(worker, tally)
                if alive:
                    continue
                workers.remove(worker)
                rest = _rest(worker, codes, tally)
                if rest:
                    start(rest)
            if report is not None:
                report(sum(1 for case in cases if codes[case] != _UNKNOWN))
    finally:
        for worker in workers:
            worker.process.kill()
        shutil.rmtree(base, ignore_errors=True)
    names = outcomes_of(kind)
    tally.outcomes = Counter(names[codes[case] - 1] for case in cases)
    tally.failures.sort(key=lambda failure: failure.case)
    tally.seconds = time.perf_counter() - begin
    return tally


def _collected(worker: _Worker, tally: Tally) -> None:
    """Take what a worker has said."""
    try:
        while worker.pipe.poll():
            case, wrong, seconds, peak = worker.pipe.recv()
            tally.peak_bytes = max(tally.peak_bytes, peak)
            if seconds > tally.slowest_seconds:
                tally.slowest_seconds, tally.slowest_case = seconds, case
            if wrong:
                tally.failures.append(Failure(tally.kind, case, wrong))
    except EOFError:
        pass


def _rest(worker: _Worker, codes: Sequence[int], tally: Tally) -> range | None:
    """What a worker that has ended left undone; the case in which it died has failed."""
    left = [case for case in worker.cases if codes[case] == _UNKNOWN]
    if not left:
        return None
    if worker.process.exitcode != 0:
        case = worker.now.value if worker.now.value >= 0 else left[0]
        code = worker.process.exitcode
        what = f"no end within {CASE_SECONDS:g} s" if code == 1 else f"the process died ({code})"
        codes[case] = outcomes_of(tally.kind).index(FAILED) + 1  # type: ignore[index]
        tally.failures.append(Failure(tally.kind, case, what))
        left = [other for other in left if other != case]
    return range(left[0], worker.cases.stop, worker.cases.step) if left else None


def _memory_folder() -> str | None:
    """A folder in memory, where the system has one: cases write a million small files."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None
