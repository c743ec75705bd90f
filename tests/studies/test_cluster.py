"""A real dask scheduler with two workers over TCP: the same table, and readable refusals."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pandas as pd
import pytest

import optmodels as om
from optmodels.errors import UsageError
from optmodels.studies.cluster import scheduler_executor

pytest.importorskip("distributed", reason="the extra 'distributed' is not installed")

ROOT = Path(__file__).resolve().parents[2]
JOBS = [om.generate("scaling.job", seed=seed, hours=24, work=6.0) for seed in range(3)]


def _process(stack: ExitStack, *arguments: str) -> subprocess.Popen[str]:
    """A process of dask's command line that ends with the test, whatever happens."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "distributed.cli." + arguments[0], *arguments[1:]],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "20s"},
        text=True,
    )
    stack.enter_context(process)
    stack.callback(process.kill)
    return process


def _line(process: subprocess.Popen[str], pattern: str) -> str:
    """The first match in what a process says; its output ends when it does."""
    assert process.stderr is not None
    for line in process.stderr:
        found = re.search(pattern, line)
        if found:
            return found[1]
    raise AssertionError(f"no line with {pattern}")


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a scheduler on the loopback with two worker processes."""
    place = str(tmp_path_factory.mktemp("dask"))
    with ExitStack() as stack:
        options = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--no-show")
        made = _process(stack, "dask_scheduler", *options)
        address = _line(made, r"Scheduler at:\s+(tcp://127\.0\.0\.1:\d+)")
        for _ in range(2):
            options = ("--nthreads", "1", "--no-dashboard", "--no-nanny")
            worker = _process(stack, "dask_worker", address, *options, "--local-directory", place)
            _line(worker, r"(Registered to)")
        yield address


def test_the_table_of_a_cluster_is_that_of_one_process(scheduler: str) -> None:
    """Two workers over TCP change no digit."""
    options = {"forecasts": ["noise:0.2"], "seeds": [0, 1]}
    names = ["run-now", "random-slots", "lowest-slots", "lacs"]
    expected = om.study(JOBS, names, **options)
    with scheduler_executor(scheduler) as executor:
        got = om.study(JOBS, names, executor=executor, **options)
    assert got.computed == expected.computed
    pd.testing.assert_frame_equal(got.frame, expected.frame, check_exact=True)


def test_the_command_line_uses_a_cluster(scheduler: str, tmp_path: Path) -> None:
    """`compare --scheduler` prints the rows that `compare --store` prints without one."""
    folder = str(JOBS[0].save(tmp_path / "job"))

    def rows(*options: str) -> list[dict[str, object]]:
        command = [sys.executable, "-m", "optmodels", "compare", folder, "--json", *options]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
        found: list[dict[str, object]] = json.loads(done.stdout)
        return found

    alone = rows("--store", str(tmp_path / "store"))
    assert rows("--scheduler", scheduler) == alone
    assert {"instance", "policy", "total", "ratio", "certified_ratio"} <= set(alone[0])


def test_no_scheduler_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody at the address, or no address at all: what to do is said."""
    monkeypatch.setattr("optmodels.studies.cluster._PATIENCE_S", 0.2)
    for address in ("tcp://127.0.0.1:1", "nonsense://x"):
        with (
            pytest.raises(UsageError, match="No dask scheduler answers"),
            scheduler_executor(address),
        ):
            pass


def test_jobs_and_a_scheduler_exclude_each_other(tmp_path: Path) -> None:
    """Two engines for one study: exit code 2 and a sentence."""
    folder = str(JOBS[0].save(tmp_path / "job"))
    command = [sys.executable, "-m", "optmodels", "compare", folder]
    options = ["--jobs", "2", "--scheduler", "tcp://127.0.0.1:1"]
    done = subprocess.run(
        [*command, *options], check=False, capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 2
    assert "--jobs and --scheduler exclude each other" in done.stderr
