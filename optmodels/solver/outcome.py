"""The `Outcome`: what a session found, in the order of the matrix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .labels import FloatArray
from .status import Status


@dataclass(frozen=True)
class Outcome:
    """What a session found, in the order of the matrix; `Solution` gives it names."""

    status: Status
    objective: float | None = None
    bound: float | None = None
    x: FloatArray | None = None
    row_dual: FloatArray | None = None
    column_dual: FloatArray | None = None
    interrupted: bool = False
    seconds: float = 0.0
    message: str = ""
    statistics: Mapping[str, int] = field(default_factory=dict)
