"""Writing that happens completely or not at all.

Files are written beside their target, under a name that starts with a dot, and moved into place in
one step at the end. An error, an interrupt or a full disk in between leaves the target as it was,
and no litter beside it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from optmodels.errors import OptmodelsError, UsageError


@contextmanager
def staged_folder(folder: Path) -> Iterator[Path]:
    """Give an empty folder to fill, which becomes `folder` (or replaces it) at the end.

    Raises
    ------
    UsageError
        The folder cannot be written.
    """
    try:
        with _parents(folder.parent):
            staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
            try:
                staging.chmod(0o755)
                yield staging
                _move_into_place(staging, folder)
            finally:
                # Once in place, there is nothing under this name any more.
                shutil.rmtree(staging, ignore_errors=True)
    except OptmodelsError:
        raise
    except (OSError, ValueError) as error:
        raise not_written(folder, error) from None


def write_text_atomically(path: Path, text: str) -> None:
    """Write a text file so that it is either complete or untouched.

    Raises
    ------
    UsageError
        The file cannot be written.
    """
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise not_written(path, error) from None
    write_bytes_atomically(path, data)


def write_bytes_atomically(path: Path, data: bytes) -> None:
    """Write a file so that it is either complete or untouched.

    Raises
    ------
    UsageError
        The file cannot be written.
    """
    path = Path(path)
    try:
        with _parents(path.parent):
            handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
            try:
                with os.fdopen(handle, "wb") as stream:
                    stream.write(data)
                Path(name).chmod(0o644)
                Path(name).replace(path)
            finally:
                Path(name).unlink(missing_ok=True)
    except OptmodelsError:
        raise
    except (OSError, ValueError) as error:
        raise not_written(path, error) from None


def not_written(path: Path, error: Exception) -> UsageError:
    """The refusal of a file or folder that cannot be written."""
    return UsageError(
        f"{str(path)!a} cannot be written ({sentence(error)}). Fix: name a place where you may "
        "write, on a disk with room."
    )


def sentence(error: Exception) -> str:
    """What an exception of the system says, as part of a sentence."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0].rstrip(".")


@contextmanager
def _parents(folder: Path) -> Iterator[None]:
    """Make the folders above a target; when writing fails, none of them is left behind."""
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for path in new:
            with suppress(OSError):
                path.rmdir()
        raise


def _move_into_place(staging: Path, folder: Path) -> None:
    """Put the complete folder in the place of an old one, which comes back if that fails."""
    if not folder.exists():
        staging.rename(folder)
        return
    retired = Path(tempfile.mkdtemp(prefix=f".{folder.name}-old-", dir=folder.parent))
    previous = retired / "previous"
    try:
        folder.rename(previous)
        staging.rename(folder)
    finally:
        if not folder.exists() and previous.exists():
            previous.rename(folder)
        shutil.rmtree(retired, ignore_errors=True)
