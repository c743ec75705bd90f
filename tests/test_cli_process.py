"""The command line as a process of its own: start-up, pipes, interruption, encodings."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from optmodels.cli.touring import bundled
from tests.cli_runner import CAISO

MAIN = "from optmodels.cli import main; main()"
HEAVY = ("numpy", "pandas", "scipy", "pyomo", "cvxpy", "highspy", "matplotlib", "pyarrow")


def start(*arguments: object, code: str = MAIN, **environment: str) -> subprocess.Popen[str]:
    """Start ``optmodels`` with these arguments."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        # Unbuffered output would hide a buffer that is lost at the end.
        env={**os.environ, "PYTHONUNBUFFERED": "", **environment},
    )


@pytest.mark.parametrize("arguments", [("list",), ("list", "--json"), ("--help",)])
def test_answers_without_the_heavy_imports(arguments: tuple[str, ...]) -> None:
    """``list`` and ``--help`` import no solver and no table library; ``list`` not even the parser.

    Importing pyomo costs a quarter of a second, pandas a third; a command that only prints names
    must not pay for them.
    """
    report = f"""
import sys
from optmodels.cli import main
try:
    main()
except SystemExit as ending:
    assert not ending.code, ending
loaded = [name for name in {HEAVY!r} if name in sys.modules]
print(loaded, 'typer' in sys.modules, file=sys.stderr)
"""
    process = start(*arguments, code=report)
    out, err = process.communicate(timeout=180)
    assert process.returncode == 0
    assert "scaling.job" in out or "tour" in out
    assert err.strip() == f"[] {arguments == ('--help',)}"


def test_shortcut_of_list_is_the_command() -> None:
    """``list`` answered at once prints what the full command line prints."""
    full = MAIN.replace("main()", "from optmodels.cli.app import app; app()").split("; ", 1)[1]
    for options in ((), ("--json",)):
        short, long = start("list", *options), start("list", *options, code=full)
        assert short.communicate(timeout=180) == long.communicate(timeout=180)


def test_interruption_ends_with_130(tmp_path: Path) -> None:
    """A signal in the middle of a solve: code 130, one word, no traceback, no file."""
    slow = """
import sys, time
from optmodels import api
def solve(*_, **__):
    print("solving", file=sys.stderr, flush=True)
    time.sleep(60)
api.solve = solve
from optmodels.cli import main
main()
"""
    process = start("solve", CAISO, "--json", "--out", tmp_path / "plan.json", code=slow)
    assert process.stderr is not None
    assert process.stderr.readline() == "solving\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert (out, err) == ("", "optmodels: interrupted.\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [("list",), ("compare", CAISO)])
def test_reader_that_goes_away(arguments: tuple[object, ...]) -> None:
    """``optmodels ... | head -1``: a closed pipe ends the command without a word."""
    process = start(*arguments)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=180) == 0
    assert err == ""


def test_terminal_that_knows_ascii_only() -> None:
    """Characters that cannot be shown do not end a command, nor does colour disturb the text."""
    environment = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "NO_COLOR": "1", "COLUMNS": "20"}
    process = start("compare", CAISO, "--policies", "run-now", **environment)
    out, err = process.communicate(timeout=180)
    assert (process.returncode, err) == (0, "")
    assert "cost [g]" in out
    assert "\x1b" not in out


def test_json_of_a_process_is_json() -> None:
    """Nothing but one document is on stdout, whatever the terminal is."""
    process = start("compare", CAISO, "--json", COLUMNS="20", FORCE_COLOR="1")
    out, err = process.communicate(timeout=180)
    assert (process.returncode, err) == (0, "")
    assert json.loads(out)[0]["policy"] == "optimum"


def test_bundled_instances_of_an_installed_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installed package carries its instances inside; a checkout has them at the root."""
    from optmodels.cli import touring

    assert (bundled() / "scaling" / "job" / "caiso-48h").is_dir()
    inside = tmp_path / "optmodels" / "_instances"
    inside.mkdir(parents=True)
    monkeypatch.setattr(touring, "__file__", str(tmp_path / "optmodels" / "cli" / "touring.py"))
    assert touring.bundled() == inside
