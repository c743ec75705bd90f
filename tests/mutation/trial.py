"""One run of the tests of a room in a copy of the tree, in a process forked for it.

The libraries that optmodels stands on are imported once, before the forks; optmodels and its tests
are imported by each fork anew, so that it sees its mutant.
"""

from __future__ import annotations

import importlib
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

HEAVY = (
    *("numpy", "scipy.optimize", "scipy.sparse", "scipy.stats", "pandas", "pyomo.environ"),
    *("pyomo.repn.plugins.standard_form", "cvxpy", "highspy", "networkx", "pydantic", "tqdm.auto"),
    *("pytest", "hypothesis", "typer", "rich"),
)
#: A mutant that takes this many times the processor time of the sound code, and this much more
#: [s], hangs.
SLOWER, MARGIN_S = 4, 10
#: Wall time over processor time that a busy machine may make of it.
BUSY = 40


@dataclass(frozen=True)
class Ending:
    """How a run of the tests ended.

    Attributes
    ----------
    passed
        Whether all tests passed.
    hung
        Whether it was ended because it took too long.
    seconds
        Processor time of the run and its children [s].
    """

    passed: bool
    hung: bool
    seconds: float


def copy_tree(root: Path, folder: Path) -> Path:
    """Copy what the tests need, so that no mutant ever stands in the checkout."""
    tree = folder / "tree"
    skipped = shutil.ignore_patterns(".git", "__pycache__", ".*_cache", ".hypothesis", ".venv*")
    shutil.copytree(root, tree, ignore=skipped)
    shared = root.parent / "shared"
    if shared.is_dir():
        (folder / "shared").symlink_to(shared)
    return tree


def preload() -> None:
    """Import what every run needs."""
    for name in HEAVY:
        importlib.import_module(name)


def run(tree: Path, tests: tuple[str, ...], log: Path, limit_s: float | None = None) -> Ending:
    """Run tests until one fails.

    Parameters
    ----------
    tree
        Root of the copy.
    tests
        Files and folders below it.
    log
        File for what pytest says.
    limit_s
        Processor time after which the run hangs [s]; ``None`` for the sound code, whose run also
        leaves the compiled modules behind.
    """
    child = os.fork()
    if child == 0:
        _fork(tree, tests, log, limit_s)
    deadline = time.monotonic() + BUSY * limit_s if limit_s else float("inf")
    late = False
    while True:
        ended, status, used = os.wait4(child, os.WNOHANG)
        if ended:
            break
        if time.monotonic() > deadline and not late:
            late = True
            os.killpg(child, signal.SIGKILL)
        time.sleep(0.02)
    hung = late or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU)
    return Ending(status == 0, hung, used.ru_utime + used.ru_stime)


def _fork(tree: Path, tests: tuple[str, ...], log: Path, limit_s: float | None) -> None:
    try:
        os.setsid()
        with log.open("wb") as stream:
            os.dup2(stream.fileno(), 1)
            os.dup2(stream.fileno(), 2)
        if limit_s is not None:
            # A stale compiled module would hide a mutant: only the sound code leaves any.
            sys.dont_write_bytecode = True
            os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
            resource.setrlimit(resource.RLIMIT_CPU, (int(limit_s) + 1, int(limit_s) + 5))
            signal.signal(signal.SIGXCPU, _end)
        for name in [n for n in sys.modules if n.partition(".")[0] in ("tests", "optmodels")]:
            del sys.modules[name]
        os.chdir(tree)
        sys.path[:] = [str(tree), *(p for p in sys.path if p not in ("", str(Path.cwd())))]
        os.environ["PYTHONPATH"] = str(tree)
        import pytest

        # The libraries were imported before pytest could look at them, and that is meant.
        early = "ignore:Module already imported"
        code = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-W", early, *tests]))
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _end(number: int, frame: FrameType | None) -> None:
    del frame
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
