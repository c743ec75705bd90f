"""What became of a case, and what must never become of one."""

from __future__ import annotations

from pathlib import Path

from optmodels.errors import InputError, OptmodelsError

#: Longest message that a person is asked to read.
LONGEST_MESSAGE = 20_000


class BrokenPromiseError(Exception):
    """A case ended without an exception, and yet not as it must."""


def promise(kept: bool, what: str) -> None:
    """Note that something that must hold does not."""
    if not kept:
        raise BrokenPromiseError(what)


def fit_for_people(error: OptmodelsError) -> None:
    """Whether an error of ours is a service to a person: readable, bounded, and says something."""
    text = str(error)
    promise(bool(text.strip()), "an error without words")
    promise(len(text) <= LONGEST_MESSAGE, f"a message of {len(text):,} letters")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BrokenPromiseError("a message that no terminal can show") from None
    promise("\0" not in text, "a message with NUL characters")
    if isinstance(error, InputError):
        promise(bool(error.flaws), "an InputError without flaws")


def listing(room: Path) -> list[tuple[str, int, int]]:
    """Names, sizes and times of everything in a room; links are not followed."""
    found = []
    for path in room.rglob("*"):
        about = path.lstat()
        found.append((str(path.relative_to(room)), about.st_size, about.st_mtime_ns))
    return sorted(found)
