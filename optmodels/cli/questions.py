"""What `optmodels new` asks a beginner: one line of explanation and a default for everything.

On a terminal what is not given is asked for; without one, or once the essential arguments are
given, defaults stand in and are told, so that nothing is assumed in silence.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import typer

from optmodels.errors import UsageError


@dataclass(frozen=True)
class Question:
    """One thing to know.

    Attributes
    ----------
    name
        Of the option.
    words
        What is asked, in one line.
    default
        What is taken where nobody says otherwise; None takes nothing.
    check
        From what was typed to a value; raises ValueError with words about what is allowed.
    """

    name: str
    words: str
    default: Any
    check: Callable[[str], Any]


def number(low: float, *, strict: bool = False) -> Callable[[str], float]:
    """A check for finite numbers from `low` on."""

    def check(text: str) -> float:
        words = f"a number {'>' if strict else '>='} {low:g}, with a decimal point"
        try:
            value = float(text)
        except ValueError:
            raise ValueError(f"{text!r} is not {words}") from None
        if not math.isfinite(value) or value < low or (strict and value == low):
            raise ValueError(f"{text} is out of range; allowed: {words}")
        return value

    return check


def whole(low: int) -> Callable[[str], int]:
    """A check for whole numbers from `low` on."""

    def check(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise ValueError(f"{text!r} is not a whole number") from None
        if value < low:
            raise ValueError(f"{text} is out of range; allowed: a whole number >= {low}")
        return value

    return check


def one_of(*choices: str) -> Callable[[str], str]:
    """A check for one of some words."""

    def check(text: str) -> str:
        if text not in choices:
            raise ValueError(f"{text!r} is none of {', '.join(choices)}")
        return text

    return check


def text(given: str) -> str:
    """Any text but none."""
    if not given.strip():
        raise ValueError("nothing was typed")
    return given.strip()


def on_terminal() -> bool:
    """Whether somebody can answer."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def ask(question: Question) -> Any:
    """Ask until the answer is one."""

    def value(typed: str) -> Any:
        try:
            return question.check(str(typed))
        except ValueError as error:
            raise typer.BadParameter(f"{error}.") from None

    shown = question.default
    # A whole number reads better without its ".0".
    default = f"{shown:g}" if isinstance(shown, float) else shown
    return typer.prompt(question.words, default=default, value_proc=value)


class Answers:
    """Values by name: those that were given, asked for, or assumed.

    Parameters
    ----------
    given
        Values of options; None for those that were not given.
    asking
        Whether somebody can answer.

    Attributes
    ----------
    values
        What is known, by name.
    assumed
        Options that were taken by default.
    """

    def __init__(self, given: dict[str, Any], *, asking: bool) -> None:
        self.values = {name: value for name, value in given.items() if value is not None}
        self.assumed: list[str] = []
        self.asking = asking

    def know(self, *questions: Question) -> None:
        """Find values for questions that have none yet."""
        for question in questions:
            if question.name in self.values:
                value = self.values[question.name]
                try:
                    self.values[question.name] = question.check(str(value))
                except ValueError as error:
                    raise UsageError(f"{_flag(question.name)}: {error}.") from None
            elif self.asking:
                self.values[question.name] = ask(question)
            elif question.default is not None:
                self.values[question.name] = question.check(str(question.default))
                shown = question.default
                words = f"{shown:g}" if isinstance(shown, float) else str(shown)
                self.assumed.append(f"{_flag(question.name)} {words}")

    def told(self) -> str | None:
        """What was assumed, in words."""
        if not self.assumed:
            return None
        return f"Assumed, because nothing else was said: {', '.join(self.assumed)}"


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
