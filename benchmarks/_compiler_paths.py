"""Every path of the compiler benchmark under one name, and its peak memory in a fresh process.

    python benchmarks/_compiler_paths.py PATH SHAPE NONZEROS SEED

prints two peaks of memory [bytes], above an interpreter that has imported the libraries and built a
tiny model: of build and hand-over, and of the same with the beginning of HiGHS's run.
"""

from __future__ import annotations

import gc
import json
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from _compiler_models import SHAPES, Data, as_dicts
from _compiler_objects import HAS_PULP, build_pulp, pass_appsi, pass_pulp, pass_pyomo
from _compiler_raw import FILLED, pass_arrays
from _compiler_vectorised import CVXPY_BUILT, HAS_LINOPY, build_linopy, pass_cvxpy, pass_linopy

from optmodels.solver import Session, compile_model
from optmodels.solver.pyomo_front import traced
from optmodels.solver.pyomo_standard import compile_pyomo
from optmodels.solver.template import Formulation

OURS, FIRST = "ours", "ours, first compile"
RAW, CVXPY, LINOPY, PULP = "raw highspy", "CVXPY", "linopy direct", "PuLP"
STANDARD, PYOMO, APPSI = "Pyomo standard form", "Pyomo HiGHS", "Pyomo APPSI HiGHS"

FAST = (RAW, OURS, FIRST, CVXPY, LINOPY)
"""Paths without an object per variable: the only ones that are repeated at every size."""
SLOW = (PULP, STANDARD, PYOMO, APPSI)

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")
_TINY = 1000
_FEW_ITERATIONS = 1000
"""Enough for HiGHS to presolve and to factorise: its memory hardly grows after that."""


@dataclass
class Case:
    """One shape with data, and what each path needs before the clock starts."""

    shape: str
    nonzeros: int
    seed: int

    @cached_property
    def data(self) -> Data:
        """The arrays."""
        return SHAPES[self.shape].draw(self.nonzeros, self.seed)

    @cached_property
    def model(self) -> Any:
        """The AbstractModel."""
        return SHAPES[self.shape].formulation()

    @cached_property
    def dicts(self) -> Any:
        """The data for Pyomo."""
        return as_dicts(self.model, self.data)

    def prepare(self, path: str) -> None:
        """Make what the path starts from."""
        _ = self.data
        if path == OURS:
            # Traces are kept by model: the first one is not what is measured here.
            traced(self.model)
        if path in (STANDARD, PYOMO, APPSI):
            _ = self.dicts

    def steps(self, path: str) -> tuple[Callable[[], Any], Callable[[Any], Any]]:
        """How the path builds its own kind of model, and how that gets into a HiGHS."""
        name, model = self.shape, self.model

        def through_session(linear: Any) -> Any:
            return Session(linear).highs

        ways: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
            RAW: (lambda: FILLED[name](self.data), pass_arrays),
            OURS: (lambda: compile_model(model, self.data), through_session),
            FIRST: (lambda: Formulation(model).compile(self.data).linear, through_session),
            CVXPY: (lambda: CVXPY_BUILT[name](self.data), pass_cvxpy),
            LINOPY: (lambda: build_linopy(name, self.data), pass_linopy),
            PULP: (lambda: build_pulp(name, self.data), pass_pulp),
            STANDARD: (lambda: compile_pyomo(model, self.dicts), through_session),
            PYOMO: (lambda: model.create_instance(self.dicts), pass_pyomo),
            APPSI: (lambda: model.create_instance(self.dicts), pass_appsi),
        }
        return ways[path]


def available() -> set[str]:
    """Paths whose libraries are installed."""
    absent = {LINOPY: not HAS_LINOPY, PULP: not HAS_PULP}
    return {path for path in (*FAST, *SLOW) if not absent.get(path, False)}


def timed(case: Case, path: str) -> tuple[float, float, Any]:
    """Seconds of building and of handing over, without garbage collection, and the HiGHS.

    Processor time of the calling thread: other work on the machine does not tell, and layers that
    let other threads help are not charged for them.
    """
    case.prepare(path)
    build, hand_over = case.steps(path)
    gc.collect()
    gc.disable()
    try:
        started = time.thread_time()
        model = build()
        built = time.thread_time()
        highs = hand_over(model)
        return built - started, time.thread_time() - built, highs
    finally:
        gc.enable()


def peak_bytes(path: str, case: Case) -> tuple[float, float]:
    """Peak memory of one path in a fresh process: up to ``run()``, and with it."""
    command = [sys.executable, __file__, path, case.shape, str(case.nonzeros), str(case.seed)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    build, run = json.loads(answer.stdout.splitlines()[-1])
    return build, run


def relax(highs: Any) -> None:
    """Let HiGHS solve the continuous relaxation, by the dual simplex method, in silence."""
    highs.setOptionValue("output_flag", False)
    highs.setOptionValue("solve_relaxation", True)
    highs.setOptionValue("solver", "simplex")


def _high_water() -> int:
    """Largest resident memory so far [bytes]."""
    if _STATUS.exists():
        # ru_maxrss would also count the parent's memory, which exec passes on.
        line = next(x for x in _STATUS.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _measure_peak(path: str, shape: str, nonzeros: int, seed: int) -> list[float]:
    warnings.simplefilter("ignore")
    timed(Case(shape, _TINY, seed), path)
    case = Case(shape, nonzeros, seed)
    case.prepare(path)
    gc.collect()
    if _RESET.exists():
        _RESET.write_text("5")
    before = _high_water()
    build, hand_over = case.steps(path)
    highs = hand_over(build())
    built = _high_water()
    relax(highs)
    highs.setOptionValue("simplex_iteration_limit", _FEW_ITERATIONS)
    highs.run()
    return [built - before, _high_water() - before]


if __name__ == "__main__":
    print(json.dumps(_measure_peak(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))))
