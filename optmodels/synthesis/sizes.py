"""Sizes of a generator, read with care: every one that is out of range is reported at once."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from optmodels.errors import Flaw, InputError
from optmodels.traces.trace import instant

#: Years in which a synthetic instance may start.
YEARS = range(1950, 2150)

_ROUNDING = 1e-9


class Sizes:
    """The sizes that a generator was given, and what is wrong with them.

    Parameters
    ----------
    seed
        Seed of the generator; anything but a whole number from 0 is a flaw.
    given
        Sizes by name.
    subject
        What is being generated, for the head of the message.
    """

    def __init__(self, seed: object, given: Mapping[str, object], subject: str) -> None:
        self._given = given
        self._subject = subject
        self.flaws: list[Flaw] = []
        if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
            self._refuse("is not a seed", "seed", seed, "a whole number >= 0")

    def number(
        self, name: str, low: float, high: float = math.inf, *, open_low: bool = False
    ) -> float | None:
        """The size as a number in its range; None, and a flaw, where it is not one."""
        value = self._given[name]
        number = isinstance(value, int | float) and not isinstance(value, bool)
        inside = number and (low < value if open_low else low <= value) and value <= high  # type: ignore[operator]
        if inside:
            return float(value)  # type: ignore[arg-type]
        words = f"a number {'>' if open_low else '>='} {low:g}"
        words += f" and <= {high:g}" if high < math.inf else ""
        self._refuse("is out of range", name, value, words)
        return None

    def whole(
        self, name: str, of: str, low: float, high: float = math.inf, *, unit: float = 1.0
    ) -> int | None:
        """The size as a whole number of units, `low` and `high` counted in what was given."""
        value = self.number(name, low, high)
        if value is None:
            return None
        count = value / unit
        if abs(count - round(count)) > _ROUNDING:
            self._refuse(f"is not a whole number of {of}", name, self._given[name])
            return None
        return round(count)

    def choice(self, name: str, allowed: tuple[str, ...]) -> None:
        """A size that is a name."""
        if self._given[name] not in allowed:
            self._refuse("is not known", name, self._given[name], ", ".join(allowed))

    def limit(self, name: str, value: float, most: float) -> None:
        """A size that follows from others and must not be larger than this."""
        if value > most:
            self._refuse("would become too large", name, f"up to {value:.3g}", f"at most {most:g}")

    def start(self, name: str = "start") -> None:
        """A size that is the text of a time; `begin_of` reads it."""
        if not isinstance(self._given[name], str):
            allowed = "a time with its offset, such as 2023-06-01T00:00:00Z"
            self._refuse("is not a time", name, self._given[name], allowed)

    def check(self) -> None:
        """Raise one `InputError` with all flaws, if there are any."""
        if self.flaws:
            raise InputError(self.flaws, self._subject)

    def _refuse(self, what: str, field: str, value: object, allowed: str | None = None) -> None:
        self.flaws.append(Flaw(what, field=field, value=value, allowed=allowed))


def begin_of(start: str) -> pd.Timestamp:
    """Start of a synthetic instance, UTC.

    Raises
    ------
    UsageError
        It is not a time, or has no offset.
    InputError
        It is out of range.
    """
    begin = instant(start)
    if begin.year not in YEARS:
        allowed = f"years {YEARS[0]} to {YEARS[-1]}"
        raise InputError(Flaw("is out of range", field="start", value=start, allowed=allowed))
    return begin
