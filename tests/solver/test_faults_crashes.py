"""Interrupted and dying solvers: nothing is lost that was there, and nobody waits for the dead."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import optmodels as om
from tests.solver.dying import Dying

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has other signals")

CHILD = """
import signal, sys
sys.path.insert(0, {root!r})
# A shell that starts this in the background lets it ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
import optmodels as om
from optmodels.errors import NoSolutionError
sizes = dict(item.split("=") for item in sys.argv[3:])
inst = om.generate(sys.argv[1], seed=1, **{{name: int(n) for name, n in sizes.items()}})
inst.fingerprint
import highspy, pyomo.environ
print("ready", flush=True)
try:
    plan = om.solve(inst, method=sys.argv[2], time_limit_s=60.0, mip_gap=0.0)
except (KeyboardInterrupt, NoSolutionError) as error:
    print("ended", type(error).__name__, flush=True)
else:
    kept = not plan.audit.violations and plan.bound <= plan.objective * (1 + 1e-9)
    print("plan", plan.status, kept, flush=True)
print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
"""


@pytest.mark.parametrize(
    ("problem", "method", "sizes"),
    [
        ("rightsizing.sites", "milp", ("hours=2000", "sites=12", "module_gpus=8")),
        ("scaling.cluster", "milp", ("hours=48", "capacity=8", "jobs=40")),
        ("placement.edge", "milp", ("sites=60", "applications=2000")),
    ],
)
def test_ctrl_c_in_an_oracle(problem: str, method: str, sizes: tuple[str, ...]) -> None:
    """A real SIGINT ends an oracle at once: with its best plan so far, audited, or with none."""
    command = [sys.executable, "-c", CHILD.format(root=str(ROOT)), problem, method, *sizes]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            timer = threading.Timer(1.0, child.send_signal, [signal.SIGINT])
            timer.start()
            out, _ = child.communicate(timeout=45)
        finally:
            child.kill()
    told, handler = out.split("\n")[:2]
    assert told in (
        "ended KeyboardInterrupt",
        "ended NoSolutionError",
        "plan feasible True",
        "plan optimal True",
    )
    assert handler == "True"
    assert child.returncode == 0


def test_a_solver_that_dies_in_a_worker(tmp_path: Path) -> None:
    """Aborted or killed in the middle of a search: those cells have failed, all others are kept.

    Run again, the study computes nothing that it has, and says the same.
    """
    jobs = [om.generate("scaling.job", seed=1, hours=24, work=6.0)]
    policies = {"aborted": Dying("abort"), "killed": Dying("kill"), "run": "run-now"}
    store = tmp_path / "store"
    found = om.study(jobs, policies, workers=2, store=store)
    status = found.frame.set_index(["fingerprint", "policy"])["status"].unstack()
    assert (status[["aborted", "killed"]] == "failed").all(axis=None)
    assert (status[["optimum", "run"]] == "done").all(axis=None)
    assert set(found.failures["error"]) == {"the worker process died"}
    again = om.study(jobs, {"run": "run-now"}, store=store)
    assert again.computed == 0
    assert (again.frame["status"] == "done").all()
    more = om.study(jobs, {"run": "run-now", "lacs": "lacs"}, store=store)
    assert more.computed == len(jobs)
