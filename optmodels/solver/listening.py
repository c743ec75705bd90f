"""What happens around a running HiGHS: its log, Ctrl-C, and the progress line.

The log goes to ``logging.getLogger("optmodels.solver")``; HiGHS is silent unless that logger is
enabled for INFO, from its first breath (`silent_highs`). Ctrl-C sets a flag which HiGHS asks for in
its interrupt callback.
"""

from __future__ import annotations

import functools
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .progress import ProgressLine

logger = logging.getLogger("optmodels.solver")


def silent_highs() -> Any:
    """A new ``highspy.Highs`` that never writes to standard output.

    Notes
    -----
    HiGHS 1.16 prints its banner as soon as a callback is set, and the constructor of
    ``highspy.Highs`` sets one: switching the output off afterwards is too late.
    """
    return _silent_class()()


@functools.cache
def _silent_class() -> type[Any]:
    import highspy

    class SilentHighs(highspy.Highs):  # type: ignore[misc]
        """HiGHS with its output off, and without highspy's own callbacks, which nobody uses."""

        def enableCallbacks(self) -> None:  # noqa: N802 - highspy's name
            """What the constructor calls last: switch the output off, set no callback."""
            self.setOptionValue("output_flag", False)
            # Output on while nobody listens would reach standard output.
            self.setOptionValue("log_to_console", False)

    return SilentHighs


@contextmanager
def listening(highs: Any, stop: threading.Event, *, is_mip: bool, progress: bool) -> Iterator[None]:
    """Connect log, interruption and progress for the time of one solve.

    Parameters
    ----------
    highs
        One of `silent_highs`.
    stop
        Set by Ctrl-C; set from elsewhere it stops HiGHS just the same.
    is_mip
        What the progress line has to tell.
    progress
        Whether to show it.

    Notes
    -----
    Python delivers signals to the main thread alone, so only there Ctrl-C is caught, and only
    where Python's own handler is in charge: other handlers belong to somebody else.
    """
    import highspy

    kinds = highspy.cb.HighsCallbackType
    logging_on = logger.isEnabledFor(logging.INFO)
    catch = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    wanted = [kinds.kCallbackLogging] if logging_on else []
    if catch or progress:
        wanted += [
            kinds.kCallbackMipInterrupt,
            kinds.kCallbackSimplexInterrupt,
            kinds.kCallbackIpmInterrupt,
        ]
    previous = signal.signal(signal.SIGINT, lambda *_: stop.set()) if catch else None
    try:
        with ProgressLine(progress, is_mip) as line:
            if wanted:
                # HiGHS holds the callback: it must not hold HiGHS, or neither is ever freed.
                highs.setCallback(_listener(highspy, stop, line), None)
            for kind in wanted:
                highs.startCallback(kind)
            highs.setOptionValue("output_flag", logging_on)
            yield
    finally:
        highs.setOptionValue("output_flag", False)
        for kind in wanted:
            highs.stopCallback(kind)
        if previous is not None:
            signal.signal(signal.SIGINT, previous)


def _listener(highspy: Any, stop: threading.Event, line: ProgressLine) -> Callable[..., None]:
    log = highspy.cb.HighsCallbackType.kCallbackLogging
    levels = {
        highspy.HighsLogType.kInfo: logging.INFO,
        highspy.HighsLogType.kWarning: logging.WARNING,
        highspy.HighsLogType.kError: logging.ERROR,
    }

    def listen(kind: Any, message: str, out: Any, answer: Any, _: object) -> None:
        if kind == log:
            if text := message.rstrip():
                logger.log(levels.get(out.log_type, logging.DEBUG), "%s", text)
            return
        if stop.is_set():
            answer.user_interrupt = True
        line.show(out)

    return listen
