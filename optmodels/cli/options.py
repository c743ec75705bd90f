"""Options that several commands share, and what their texts mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from optmodels.errors import UsageError

InstancePath = Annotated[Path, typer.Argument(metavar="PATH", help="Instance folder.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Seed = Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Seed of every random choice.")]

Policies = Annotated[
    str | None, typer.Option(metavar="A,B", help="Policies; by default all that apply.")
]
Forecast = Annotated[
    str | None,
    typer.Option(
        metavar="KIND",
        help="What policies with a forecast see: perfect, persistence, day-before, noise:0.2, "
        "adversarial:0.5, vintages or published.",
    ),
]


def value_of(text: str) -> object:
    """The value that a text on the command line means: a number, true, false, none, or itself."""
    words: dict[str, object] = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def pairs(texts: Sequence[str], option: str) -> dict[str, object]:
    """Values by name from texts of the form name=value.

    Raises
    ------
    UsageError
        A text has another form, or a name is given twice.
    """
    found: dict[str, object] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        name = name.strip()
        if not separator or not name:
            raise UsageError(f"{option} takes name=value, such as hours=72, not '{text}'.")
        if name in found:
            raise UsageError(f"{option} {name} is given twice. Fix: keep one of them.")
        found[name] = value_of(value.strip())
    return found


def names(text: str | None, option: str) -> list[str] | None:
    """Names separated by commas; None where the option is not given.

    Raises
    ------
    UsageError
        There is no name between the commas.
    """
    if text is None:
        return None
    found = [name.strip() for name in text.split(",") if name.strip()]
    if not found:
        raise UsageError(
            f"{option} is {text!r}; allowed: names separated by commas, such as run-now,lacs."
        )
    return found


def finite(value: float | None, option: str, *, low: float, strict: bool = False) -> float | None:
    """A finite number from `low` on, or None where the option is not given.

    Raises
    ------
    UsageError
        The number is out of range.
    """
    if value is None:
        return None
    if not math.isfinite(value) or value < low or (strict and value == low):
        raise UsageError(
            f"{option} is {value:g}; allowed: a finite number {'>' if strict else '>='} {low:g}."
        )
    return value
