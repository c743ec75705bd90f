"""Reasons: what a library's own error says, short enough for one of our messages."""

from __future__ import annotations


def first_line(error: Exception) -> str:
    """First line of an error's text, without its full stop."""
    return str(error).strip().split("\n", maxsplit=1)[0].rstrip(".")
