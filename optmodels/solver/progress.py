"""One line on the terminal that says how far a long solve has come."""

from __future__ import annotations

import math
import time
from types import TracebackType
from typing import Any

_REFRESH_S = 0.5


class ProgressLine:
    """A line on standard error with incumbent, bound and gap; nothing when not wanted.

    Parameters
    ----------
    wanted
        Whether to show anything.
    is_mip
        Whether the solver reports an incumbent and a bound (otherwise: iterations).
    """

    def __init__(self, wanted: bool, is_mip: bool) -> None:
        self._status: Any = None
        self._is_mip = is_mip
        self._next = 0.0
        if wanted:
            from rich.console import Console

            self._status = Console(stderr=True).status("solving")

    def __enter__(self) -> ProgressLine:
        if self._status is not None:
            self._status.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._status is not None:
            self._status.__exit__(kind, error, trace)

    def show(self, out: Any) -> None:
        """Refresh from HiGHS's callback data, at most twice a second."""
        if self._status is None or (now := time.monotonic()) < self._next:
            return
        self._next = now + _REFRESH_S
        if self._is_mip:
            best = out.mip_primal_bound
            found = f"best {best:.6g}" if math.isfinite(best) else "no solution yet"
            text = f"{found}, bound {out.mip_dual_bound:.6g}, {out.mip_node_count} nodes"
        else:
            text = f"{out.simplex_iteration_count + out.ipm_iteration_count} iterations"
        self._status.update(f"solving: {text}, {out.running_time:.0f} s")
