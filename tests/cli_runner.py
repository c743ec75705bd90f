"""The command line, run inside the test process: exit code, stdout and stderr of one command."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optmodels.cli.app import app
from optmodels.cli.touring import bundled

CAISO = bundled() / "scaling" / "job" / "caiso-48h"
HIDDEN = CAISO.with_name("unknown-length-96h")
ELASTIC = CAISO.with_name("elastic-profile-72h")
IMPOSSIBLE = CAISO.with_name("impossible-deadline-24h")


@dataclass(frozen=True)
class Ending:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The JSON document on stdout."""
        return json.loads(self.out, parse_constant=_refuse)


def _refuse(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


def run(*arguments: object) -> Ending:
    """Run ``optmodels`` with these arguments."""
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with redirect_stdout(out), redirect_stderr(err):
        try:
            app([str(argument) for argument in arguments], prog_name="optmodels")
        except SystemExit as ending:
            code = ending.code if isinstance(ending.code, int) else 1
    return Ending(code, out.getvalue(), err.getvalue())


def refused(ending: Ending, *words: str, code: int = 2) -> None:
    """Assert that a command ended with this code, empty stdout, and one message with the words."""
    assert (ending.code, ending.out) == (code, ""), ending
    assert "Traceback" not in ending.err
    for word in words:
        assert word in ending.err


def files(folder: Path) -> list[str]:
    """Everything below a folder, hidden files too."""
    return sorted(path.name for path in folder.rglob("*"))
