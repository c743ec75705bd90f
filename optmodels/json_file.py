"""JSON from a file, read with suspicion: the one door through which nested content enters.

A file may be a pipe that never ends, larger than the memory, in another encoding, nested deeper
than any stack, or valid JSON that no file could hold again. Each of these is refused before it does
harm, in words; so are NaN and infinities, which are no JSON, and a name given twice in one object,
which would silently lose its first value.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

from optmodels.atomic import sentence
from optmodels.errors import Flaw, InputError, shorten

_SHOWN_REASON = 200


def read_json(
    path: str | os.PathLike[str],
    *,
    max_bytes: int,
    kind: str = "JSON",
    name: str | None = None,
    fix: str | None = None,
    subject: str | None = None,
) -> Any:
    """Content of a JSON file in UTF-8, with or without a byte-order mark.

    Parameters
    ----------
    path
        The file.
    max_bytes
        Bound on its size, checked while it is read.
    kind
        What it should be, for messages: "a plan file".
    name
        How messages call the file; by default its name without the folder.
    fix
        What to do about a file that is none.
    subject
        What was being read, for the head of the message.

    Raises
    ------
    InputError
        The file cannot be read, is not a regular file, is too large, or is no JSON.
    """
    label = Path(path).name if name is None else name
    raw = _bounded(path, max_bytes, label, kind, fix, subject)
    try:
        content = json.loads(
            raw.decode("utf-8-sig"),
            parse_constant=_refuse_constant,
            object_pairs_hook=_unique_names,
        )
        # Half characters (lone surrogates) pass as JSON, but no file can hold them.
        json.dumps(content, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        what = f"is not {kind} ({shorten(sentence(error), _SHOWN_REASON)})"
        raise InputError(Flaw(what, file=label, fix=fix), subject) from None
    return content


def _bounded(
    path: str | os.PathLike[str],
    max_bytes: int,
    label: str,
    kind: str,
    fix: str | None,
    subject: str | None,
) -> bytes:
    """Bytes of a regular file of bounded size."""
    shown = ascii(str(path))[1:-1]
    raw = b""
    try:
        # A pipe or a device would block or never end.
        regular = stat.S_ISREG(os.stat(path).st_mode)  # noqa: PTH116 - Path() hides an empty path
        if regular:
            with Path(path).open("rb") as stream:
                raw = stream.read(max_bytes + 1)
    except (OSError, ValueError) as error:
        what = f"cannot be read ({sentence(error)})"
        raise InputError(Flaw(what, file=shown, fix=fix), subject) from None
    if not regular:
        raise InputError(Flaw("is not a file", file=shown, fix=fix), subject)
    if len(raw) > max_bytes:
        what = f"is too large for {kind}"
        allowed = f"at most {max_bytes:,} bytes"
        raise InputError(Flaw(what, file=label, allowed=allowed), subject)
    return raw


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is not a JSON number")


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for name, value in pairs:
        if name in content:
            raise ValueError(f"{shorten(name)} is given twice in one object")
        content[name] = value
    return content
