"""Measure what a rolling horizon costs per window, beside other ways to solve window after window.

    python benchmarks/rolling.py [--quick] [--json FILE]

336 windows of 48 hours, each an hour later than the last, of one routing problem: 5 sites, the 9
classes of requests that Heron tells apart, ramps between the hours. Demand, power limits and prices
are forecast anew in every window; the matrix does not change. Every path solves the same windows
and must find the objectives of a cold solve. Every path has a process of its own, as it has where
it is used, and the processes take turns. "Inside" is the time within HiGHS's ``run()``, "outside"
all the rest of a window.
"""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

import highspy
import numpy as np
import pandas as pd
from _compiler_vectorised import HAS_LINOPY
from _harness import Check, Options, Progress, Report, main
from _rolling_paths import PATHS, SLOTS, Horizon, Step

WINDOWS, QUICK_WINDOWS = 336, 36
BLOCK = 12
"""Windows that a path solves in a row before the next path has its turn."""

HAND, COLD = "by hand, warm", "by hand, rebuilt"
OURS, STILL = "ours", "ours, basis not moved"
DPP, PERSISTENT, LINOPY = "CVXPY DPP", "Pyomo persistent", "linopy, rebuilt"


class Clock:
    """Processor time inside HiGHS's ``run()``, whoever calls it, and of the clock itself."""

    def __init__(self) -> None:
        self.inside = 0.0
        self.own = 0.0
        self.iterations = 0

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count from here to the end of the block."""
        original = highspy.Highs.run

        def run(highs: highspy.Highs, *arguments: object) -> object:
            began = time.process_time()
            answer = original(highs, *arguments)
            ended = time.process_time()
            self.inside += ended - began
            self.iterations += highs.getInfo().simplex_iteration_count
            self.own += time.process_time() - ended
            return answer

        highspy.Highs.run = run
        try:
            yield
        finally:
            highspy.Highs.run = original


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings, and nothing on standard output: some layers let HiGHS, which is C++, greet."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


@dataclass
class Track:
    """What a path took, window by window."""

    first_seconds: float
    total: list[float] = field(default_factory=list)
    inside: list[float] = field(default_factory=list)
    iterations: list[int] = field(default_factory=list)
    objectives: list[float] = field(default_factory=list)


def measure(options: Options) -> Report:
    """All paths over all windows, block by block."""
    windows = QUICK_WINDOWS if options.quick else WINDOWS
    horizon = Horizon(windows, np.random.default_rng(options.seed))
    names = [name for name in PATHS if name != LINOPY or HAS_LINOPY]
    tracks: dict[str, Track] = {}
    progress = Progress(f"blocks of {BLOCK} windows", -(-windows // BLOCK))
    context = multiprocessing.get_context("spawn")
    with ExitStack() as opened:
        channels = {}
        for name in names:
            channels[name], other = context.Pipe()
            process = context.Process(target=follow, args=(name, horizon, other), daemon=True)
            process.start()
            opened.callback(process.join)
            opened.callback(channels[name].send, None)
            tracks[name] = channels[name].recv()
        for begin in range(0, windows, BLOCK):
            for name in names:
                channels[name].send(range(begin, min(begin + BLOCK, windows)))
                tracks[name] = channels[name].recv()
            progress.advance()
    return _report(tracks, horizon)


def follow(name: str, horizon: Horizon, channel: Connection) -> None:
    """Serve one path: for each block of windows that comes, solve them and send the track."""
    logging.getLogger("linopy").setLevel(logging.ERROR)
    clock = Clock()
    with clock.watching(), quiet():
        began = time.perf_counter()
        step = PATHS[name](horizon.window(0))
        step(horizon.window(0))
        track = Track(time.perf_counter() - began)
        channel.send(track)
        for block in iter(channel.recv, None):
            gc.collect()
            for data in [horizon.window(i) for i in block]:
                _timed(step, data, clock, track)
            channel.send(track)


def _timed(step: Step, data: dict[str, np.ndarray], clock: Clock, track: Track) -> None:
    clock.inside, clock.own, clock.iterations = 0.0, 0.0, 0
    began = time.process_time()
    objective = step(data)
    track.total.append(time.process_time() - began - clock.own)
    track.inside.append(clock.inside)
    track.iterations.append(clock.iterations)
    track.objectives.append(objective)


def _report(tracks: dict[str, Track], horizon: Horizon) -> Report:
    truth = np.array(tracks[COLD].objectives)
    total = {name: float(np.median(track.total)) for name, track in tracks.items()}
    inside = {name: float(np.median(track.inside)) for name, track in tracks.items()}
    outside = {
        name: float(np.median(np.subtract(track.total, track.inside)))
        for name, track in tracks.items()
    }
    error = {
        name: float(np.max(np.abs(np.array(track.objectives) / truth - 1)))
        for name, track in tracks.items()
    }
    rows = [
        {
            "path": name,
            "windows": horizon.windows,
            "total_ms": 1e3 * total[name],
            "inside_ms": 1e3 * inside[name],
            "outside_ms": 1e3 * outside[name],
            "iterations": float(np.median(track.iterations)),
            "over_by_hand": total[name] / total[HAND],
            "largest_relative_error": error[name],
            "first_window_s": track.first_seconds,
        }
        for name, track in tracks.items()
    ]
    report = Report(rows=rows)
    report.tables["Medians per window"] = pd.DataFrame(rows).drop(columns="windows")
    report.checks = [
        Check(
            "largest relative difference of an objective from a cold solve, all paths",
            max(error.values()),
            1e-7,
            "<=",
        ),
        # On the basis that the loop by hand starts from: a better start shrinks what is inside.
        Check(
            "ours, basis not moved: time outside run() over time inside",
            outside[STILL] / inside[STILL],
            0.15,
            "<=",
        ),
        Check("ours over the warm loop by hand", total[OURS] / total[HAND], 1.15, "<="),
        Check("Pyomo's persistent interface over ours", total[PERSISTENT] / total[OURS], 3, ">="),
        Check("CVXPY's DPP re-solve over ours", total[DPP] / total[OURS], 2, ">="),
    ]
    if LINOPY in total:
        report.checks.append(
            Check("linopy rebuilt over ours", total[LINOPY] / total[OURS], 15, ">=")
        )
    else:
        report.notes.append(
            "linopy is not installed, so its row and its check are missing. "
            "To have them: pip install linopy."
        )
    report.notes.append(
        f"Processor times of a path's own process; {horizon.windows} windows of {SLOTS} hours. The "
        "windows hand nothing on to each other (no path's choice among equal optima changes "
        "another window), so that all paths solve the same problems."
    )
    return report


if __name__ == "__main__":
    sys.exit(main("rolling", measure, __doc__ or ""))
