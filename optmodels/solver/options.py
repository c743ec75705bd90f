"""Options of a solve: checked before the solver sees them, refused when unknown.

HiGHS and the modelling layers above it ignore or merely log a misspelt option, so a run quietly
uses something else than was asked for. Here the list of options, their types and their ranges are
read from the installed HiGHS itself, and whatever does not fit is a `UsageError`.
"""

from __future__ import annotations

import functools
import math
import re
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from types import MappingProxyType
from typing import TypeGuard

from ..errors import UsageError, shorten
from .listening import silent_highs

DEFAULT_MIP_GAP = 1e-4
"""Relative gap at which a mixed-integer solve counts as optimal."""

_LARGEST_INT = 2**31 - 1

_HAVE_AN_ARGUMENT = {
    "time_limit": "the argument `time_limit_s`",
    "mip_rel_gap": "the argument `mip_gap`",
    "threads": "the argument `threads`",
    "random_seed": "the argument `seed`",
    "output_flag": "logging.getLogger('optmodels.solver').setLevel('INFO')",
    "log_to_console": "logging.getLogger('optmodels.solver').setLevel('INFO')",
    "solve_relaxation": "a model whose variables are continuous",
}

_OPTION_TEXT = re.compile(
    r"^# \[type: (?P<kind>\w+)(?:, advanced: \w+)?(?:, range: [\[{](?P<range>[^\]}]*)[\]}])?"
    r".*\]\n(?P<name>\w+) = ",
    re.MULTILINE,
)
_KINDS = {"bool": "a bool", "integer": "an integer", "double": "a number", "string": "a text"}
_KIND_OF_TYPE = {bool: "bool", int: "integer", float: "double", str: "string"}


@dataclass(frozen=True)
class OptionSpec:
    """Type and range of one HiGHS option."""

    name: str
    kind: str
    low: float = -math.inf
    high: float = math.inf

    @property
    def allowed(self) -> str:
        """The allowed values in words."""
        text = _KINDS[self.kind]
        if self.kind in ("integer", "double") and self.low > -math.inf:
            text += f" in [{self.low:g}, {self.high:g}]"
        return text

    def fits(self, value: object) -> bool:
        """Whether a value has the right type and lies in the range."""
        if self.kind == "bool":
            return isinstance(value, bool)
        if self.kind == "string":
            return isinstance(value, str)
        if self.kind == "integer" and not is_integer(value):
            return False
        return is_number(value) and self.low <= float(value) <= self.high


@functools.cache
def known_options() -> Mapping[str, OptionSpec]:
    """Every option of the installed HiGHS, read from its own listing."""
    import highspy

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "options.txt"
        silent_highs().writeOptions(str(file))
        text = file.read_text(encoding="utf-8")
    specs: dict[str, OptionSpec] = {}
    # Options for developers are absent from the listing: their types come from the defaults.
    defaults = highspy.HighsOptions()
    for name in dir(defaults):
        kind = _KIND_OF_TYPE.get(type(getattr(defaults, name)))
        if not name.startswith("_") and kind is not None:
            specs[name] = OptionSpec(name, kind)
    for match in _OPTION_TEXT.finditer(text):
        low, high = -math.inf, math.inf
        if match["range"] and match["kind"] in ("integer", "double"):
            low, high = (float(part) for part in match["range"].split(","))
        specs[match["name"]] = OptionSpec(match["name"], match["kind"], low, high)
    return MappingProxyType(specs)


def check_options(options: Mapping[str, object] | None) -> dict[str, object]:
    """Options for HiGHS as a new dict, every name, type and range checked.

    Raises
    ------
    UsageError
        An unknown name (with suggestions), a value of the wrong type or out of range, or an
        option which has an argument of its own.
    """
    checked: dict[str, object] = {}
    if not options:
        return checked
    specs = known_options()
    for name, value in options.items():
        if name in _HAVE_AN_ARGUMENT:
            raise UsageError(f"Option '{name}' is not set here: use {_HAVE_AN_ARGUMENT[name]}.")
        spec = specs.get(name)
        if spec is None:
            raise UsageError.unknown("HiGHS option", str(name), specs)
        if not spec.fits(value):
            raise UsageError(f"HiGHS option '{name}' is {shorten(value)}; allowed: {spec.allowed}.")
        checked[name] = value
    return checked


#: Time that a solver has where none is left [s]: to find that, and to say what it knows.
_MOMENT_S = 0.1


def seconds_left(end: float | None) -> float | None:
    """Time that is left for the next of several searches that share a limit.

    Parameters
    ----------
    end
        When to be done, by ``time.perf_counter``; None without a limit.

    Returns
    -------
    float | None
        Seconds until then, a moment at least; None without a limit.
    """
    return None if end is None else max(end - time.perf_counter(), _MOMENT_S)


def with_nodes(options: Mapping[str, object] | None, nodes: int) -> dict[str, object]:
    """Options that end a search after so many nodes, unless they say themselves when it ends.

    Where nobody gives a time limit, an answer must not depend on the speed of the machine: a search
    that would take too long ends by nodes, which are the same everywhere, and not by the clock.

    Parameters
    ----------
    options
        Options of the solver by their own names, or None.
    nodes
        Number of nodes after which a search ends.

    Returns
    -------
    dict
        A new mapping.
    """
    return {"mip_max_nodes": nodes, **(options or {})}


@dataclass(frozen=True)
class Limits:
    """The arguments of a solve that every solver understands, checked on construction.

    Parameters
    ----------
    time_limit_s
        Wall seconds for the solver, all its re-solves together; ``None``: no limit.
    mip_gap
        Relative gap at which a mixed-integer model counts as solved, in [0, 1].
    threads
        Threads of the solver; ``None``: its default.
    seed
        Seed of the solver's own randomness.
    """

    time_limit_s: float | None = None
    mip_gap: float = DEFAULT_MIP_GAP
    threads: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        faults: list[str] = []
        if self.time_limit_s is not None and not (
            is_number(self.time_limit_s) and 0 < self.time_limit_s < math.inf
        ):
            faults.append(
                f"time_limit_s is {shorten(self.time_limit_s)}; "
                "allowed: a positive number of seconds, or None"
            )
        if not (is_number(self.mip_gap) and 0 <= self.mip_gap <= 1):
            faults.append(
                f"mip_gap is {shorten(self.mip_gap)}; allowed: a fraction in [0, 1] (0.01 is 1 %)"
            )
        if self.threads is not None and not (is_integer(self.threads) and self.threads >= 1):
            faults.append(
                f"threads is {shorten(self.threads)}; allowed: an integer from 1, or None"
            )
        if not (is_integer(self.seed) and 0 <= self.seed <= _LARGEST_INT):
            faults.append(f"seed is {shorten(self.seed)}; allowed: an integer in [0, 2^31 - 1]")
        if faults:
            raise UsageError("; ".join(faults) + ".")

    def for_highs(self) -> dict[str, object]:
        """The same in HiGHS's words, without the time limit, which is a budget over runs."""
        return {
            "mip_rel_gap": float(self.mip_gap),
            "random_seed": int(self.seed),
            "threads": 0 if self.threads is None else int(self.threads),
        }


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a real number, and no bool."""
    return isinstance(value, Real) and not isinstance(value, bool)


def is_integer(value: object) -> TypeGuard[int]:
    """Whether a value is an integer, and no bool."""
    return isinstance(value, Integral) and not isinstance(value, bool)
