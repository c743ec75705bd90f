"""Running a command: every ending becomes a message on stderr and an exit code."""

from __future__ import annotations

import functools
import os
import sys
import traceback
from collections.abc import Callable
from contextvars import ContextVar
from typing import ParamSpec

import typer

from optmodels.cli import INTERRUPTED, leave_quietly
from optmodels.errors import NoSolutionError, OptmodelsError

DEBUG_VARIABLE = "OPTMODELS_DEBUG"
FAULT = 1
BAD_USAGE = 2

debugging: ContextVar[bool] = ContextVar("debugging", default=False)

P = ParamSpec("P")


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """A command whose exceptions end in one readable message and the right exit code."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
            # A reader that has gone away shows here, not while the interpreter shuts down.
            sys.stdout.flush()
        except typer.Exit:
            raise
        except OptmodelsError as error:
            # A solver that Ctrl-C stops reports it as a search that ended too early.
            stopped = isinstance(error, NoSolutionError) and "interrupted" in str(error).lower()
            raise _failure(str(error), INTERRUPTED if stopped else error.exit_code) from None
        except (KeyboardInterrupt, typer.Abort):
            # Whoever is asked something may also leave: Ctrl-C, or the end of the input.
            raise _failure("interrupted.", INTERRUPTED) from None
        except BrokenPipeError:
            leave_quietly()
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            raise _failure(f"{place}{error.strerror or error}.", BAD_USAGE) from None
        except Exception as error:
            raise _failure(
                f"this is a bug in optmodels: {type(error).__name__}: {error}\n"
                f"Please report it with the command and its input; {DEBUG_VARIABLE}=1 shows where "
                "it happened.",
                FAULT,
            ) from None

    return run


def _failure(message: str, code: int) -> typer.Exit:
    if debugging.get() or os.environ.get(DEBUG_VARIABLE, "") not in ("", "0"):
        traceback.print_exc(file=sys.stderr)
    typer.echo(f"optmodels: {message}", err=True)
    return typer.Exit(code)
