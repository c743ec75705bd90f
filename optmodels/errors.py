"""Every exception of optmodels, and the words in which it speaks.

An error is a service to a person: it names *what* is wrong, *where* (file, row, field, value),
what would have been *allowed*, the *likely cause* and the *fix*. Problems with an input are
collected and reported together, as a list of `Flaw`s in one `InputError`.

Every class carries the exit code which the command line returns for it:

====  ==========================================================================
code  meaning
====  ==========================================================================
2     bad usage or bad input (`InputError`, `UsageError`, `MissingExtraError`)
3     the question has no answer (`InfeasibleError`, `UnboundedError`)
4     no solution within the limit (`NoSolutionError`)
1     we, or the solver, are wrong (`SolverError`, `AuditError`): never ignore it
====  ==========================================================================
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

_SHOWN = 20
_VALUE_LENGTH = 60
_FLAW_LENGTH = 900
#: Control characters, but for tabs and line ends, in the words of Python.
_ESCAPED = {code: f"\\x{code:02x}" for code in (*range(32), 127) if chr(code) not in "\t\n\r"}


@dataclass(frozen=True)
class Flaw:
    """One thing that is wrong with an input.

    Parameters
    ----------
    what
        The fault in one clause, without a full stop ("is not a number").
    file
        File name as the user knows it, relative to the folder where there is one.
    row
        Line of the file as a spreadsheet counts it: the header is row 1.
    field
        Column, parameter or option.
    value
        The offending value as it was read.
    allowed
        Allowed range or form.
    cause
        Likely cause.
    fix
        What to do about it.
    """

    what: str
    file: str | None = None
    row: int | None = None
    field: str | None = None
    value: object = None
    allowed: str | None = None
    cause: str | None = None
    fix: str | None = None

    def __str__(self) -> str:
        place = ", ".join(
            part
            for part in (
                self.file,
                None if self.row is None else f"row {self.row}",
                None if self.field is None else f"field '{self.field}'",
            )
            if part
        )
        text = f"{place}: " if place else ""
        if self.value is not None:
            text += f"{shorten(self.value)} "
        text += self.what
        if self.allowed:
            text += f" (allowed: {self.allowed})"
        text += "."
        if self.cause:
            text += f" Likely cause: {self.cause}."
        if self.fix:
            text += f" Fix: {self.fix}."
        # Names and values come from files: a terminal must not obey them, nor drown in them.
        return _cut(text.translate(_ESCAPED), _FLAW_LENGTH)


class OptmodelsError(Exception):
    """Base of every exception that optmodels raises on purpose."""

    exit_code: ClassVar[int] = 1

    def __reduce__(self) -> tuple[object, ...]:
        # An exception is rebuilt from its text by default; ours carry more, and have to cross from
        # worker processes to their owner.
        return _rebuilt, (type(self), self.args, self.__dict__)


class InputError(OptmodelsError, ValueError):
    """An input file, table or parameter is not usable; carries every `Flaw` found.

    Parameters
    ----------
    flaws
        One or more flaws, in the order of the input.
    subject
        What was being read ("instance folder caiso-48h").
    """

    exit_code = 2

    def __init__(self, flaws: Flaw | Iterable[Flaw], subject: str | None = None) -> None:
        self.flaws: tuple[Flaw, ...] = (flaws,) if isinstance(flaws, Flaw) else tuple(flaws)
        self.subject = subject
        super().__init__(self._text())

    def _text(self) -> str:
        lines = [str(flaw) for flaw in self.flaws[:_SHOWN]]
        if len(self.flaws) > _SHOWN:
            lines.append(f"... and {len(self.flaws) - _SHOWN} more problems of this input.")
        if self.subject is None and len(lines) == 1:
            return lines[0]
        count = len(self.flaws)
        head = f"{self.subject or 'Input'}: {count} problem{'' if count == 1 else 's'}"
        return "\n".join([head, *(f"  - {line}" for line in lines)])


class UsageError(OptmodelsError, ValueError):
    """A call or command is wrong: unknown name, unknown option, impossible combination."""

    exit_code = 2

    @classmethod
    def unknown(cls, kind: str, name: str, choices: Iterable[str]) -> UsageError:
        """Unknown `name` of some `kind`, with suggestions from the `choices`."""
        known = sorted(choices)
        by_lower = {choice.lower(): choice for choice in known}
        near = difflib.get_close_matches(str(name).lower(), by_lower, n=3, cutoff=0.5)
        close = [by_lower[match] for match in near]
        hint = f" Did you mean {_any_of(close)}?" if close else ""
        return cls(f"Unknown {kind} {shorten(name)}.{hint} Known: {', '.join(known)}.")


class MissingExtraError(OptmodelsError, ImportError):
    """A feature needs an optional dependency that is not installed."""

    exit_code = 2

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package '{package}', which is not installed. "
            f'Fix: pip install "optmodels[{extra}]".'
        )


class InfeasibleError(OptmodelsError):
    """No decision satisfies all limits; says which limits conflict where that is known.

    Parameters
    ----------
    message
        What cannot be done.
    reasons
        The conflicting limits, each a sentence in the words of the problem.
    """

    exit_code = 3

    def __init__(self, message: str, reasons: Sequence[str] = ()) -> None:
        self.reasons: tuple[str, ...] = tuple(reasons)
        super().__init__("\n".join([message, *(f"  - {reason}" for reason in self.reasons)]))


class UnboundedError(OptmodelsError):
    """The objective can be improved without end: a limit or a sign is missing in the model."""

    exit_code = 3


class NoSolutionError(OptmodelsError):
    """A limit (time, nodes, interruption) ended the search before any solution was found."""

    exit_code = 4


class SolverError(OptmodelsError):
    """The solver failed, or its answer contradicts a known fact."""


class AuditError(OptmodelsError):
    """A plan failed its audit: it breaks a constraint of the raw instance."""


def shorten(value: object, length: int = _VALUE_LENGTH) -> str:
    """Text of a value for a message: quoted if a string, cut in the middle if long."""
    return _cut(repr(value) if isinstance(value, str) else str(value), length)


def _cut(text: str, length: int) -> str:
    """A text, cut in the middle if it is longer than this."""
    if len(text) <= length:
        return text
    half = (length - 5) // 2
    return f"{text[:half]} ... {text[-half:]}"


def _rebuilt(
    kind: type[OptmodelsError], arguments: tuple[object, ...], state: dict[str, object]
) -> OptmodelsError:
    error = kind.__new__(kind)
    error.args = arguments
    error.__dict__.update(state)
    return error


def _any_of(names: Sequence[str]) -> str:
    quoted = [f"'{name}'" for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"
