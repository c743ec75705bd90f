"""Stop a modelling layer at the moment when it would start HiGHS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import highspy


class _ReachedError(Exception):
    """The layer has called ``run()``."""

    def __init__(self, highs: Any) -> None:
        super().__init__("run() was called")
        self.highs = highs


def stopped_at_run(action: Callable[[], object]) -> Any:
    """The HiGHS, model inside, on which an action calls ``run()`` first; it does not run.

    Raises
    ------
    RuntimeError
        The action has ended without calling it.
    """

    def stop(highs: Any, *_: object) -> None:
        raise _ReachedError(highs)

    original = highspy.Highs.run
    highspy.Highs.run = stop
    try:
        action()
    except _ReachedError as reached:
        return reached.highs
    finally:
        highspy.Highs.run = original
    raise RuntimeError("the layer never called run()")
