"""The command line: the verbs of optmodels for a terminal and for scripts.

Every command prints text for people and, with ``--json``, one JSON document for machines. Messages
about what is wrong go to stderr; stdout then stays empty, and no output file is left behind.

====  ================================================
exit  meaning
====  ================================================
0     done
1     the solver or optmodels is wrong: never ignore it
2     bad usage or bad input
3     infeasible or unbounded
4     no solution within the limit
130   interrupted
====  ================================================

The modules of this package import numpy, pandas and the solvers only inside the commands that need
them, and ``list`` answers before even the parser of the command line is imported.
"""

from __future__ import annotations

import sys

INTERRUPTED = 130


def main() -> None:
    """Run the command line; the console script ``optmodels``."""
    # A character that the terminal cannot show must not end a command.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        if sys.argv[1:] in (["list"], ["list", "--json"]):
            from optmodels.cli import catalogue

            sys.stdout.write(catalogue.text(as_json="--json" in sys.argv))
            sys.stdout.flush()
            return
        from optmodels.cli.app import app

        app()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        leave_quietly()


def leave_quietly() -> None:
    """End without a word when nobody reads stdout any more (``optmodels list | head -1``)."""
    import os

    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):
        return
    # Whatever is still buffered goes nowhere, lest the interpreter complains when it shuts down.
    os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


__all__ = ["INTERRUPTED", "leave_quietly", "main"]
