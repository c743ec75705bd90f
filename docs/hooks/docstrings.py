"""Docstrings as Markdown: their tables and formulas are written for Sphinx's readers, too.

A table between lines of ``=`` becomes a table, ``:math:`` and ``.. math::`` become formulas between
dollars. Nothing else is changed.
"""

from __future__ import annotations

import inspect
import re
from typing import Any

from griffe import Extension

_RULE = re.compile(r"^=+(?: +=+)+$")


class Markdown(Extension):
    """Turns every docstring into Markdown as soon as it is read."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        """Rewrite the docstring of whatever has one."""
        if obj.docstring is not None:
            obj.docstring.value = markdown(inspect.cleandoc(obj.docstring.value))


def markdown(text: str) -> str:
    r"""A docstring with its tables and formulas in Markdown.

    >>> print(markdown(":math:`x` is\n\n==  ====\na   b\n==  ====\n1   2 |\n==  ===="))
    $x$ is
    <BLANKLINE>
    <BLANKLINE>
    | a | b |
    |---|---|
    | 1 | 2 \| |
    <BLANKLINE>
    """
    text = re.sub(r":math:`([^`]+)`", lambda m: f"${' '.join(m[1].split())}$", text)
    lines = text.split("\n")
    made: list[str] = []
    at = 0
    while at < len(lines):
        if _RULE.match(lines[at]):
            rules = [i for i in range(at, len(lines)) if _RULE.match(lines[i])][:3]
            if len(rules) == 3:
                made += _table(
                    lines[at], lines[rules[0] + 1 : rules[1]], lines[rules[1] + 1 : rules[2]]
                )
                at = rules[2] + 1
                continue
        if lines[at].strip().startswith(".. math::"):
            at = _formulas(lines, at, made)
            continue
        made.append(lines[at])
        at += 1
    return "\n".join(made)


def _table(rule: str, head: list[str], body: list[str]) -> list[str]:
    """Rows of a Markdown table; a line whose first column is empty goes on with the row above."""
    starts = [match.start() for match in re.finditer("=+", rule)]
    slices = [slice(a, b) for a, b in zip(starts, [*starts[1:], None], strict=True)]

    def cells(line: str) -> list[str]:
        return [line[part].strip().replace("|", "\\|") for part in slices]

    rows: list[list[str]] = []
    for line in body:
        found = cells(line)
        if rows and not found[0]:
            rows[-1] = [f"{old} {new}".strip() for old, new in zip(rows[-1], found, strict=True)]
        elif any(found):
            rows.append(found)
    titles = [" ".join(words).strip() for words in zip(*map(cells, head), strict=True)]
    rule_of_table = "|" + "---|" * len(slices)
    return ["", _row(titles), rule_of_table, *map(_row, rows), ""]


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _formulas(lines: list[str], at: int, made: list[str]) -> int:
    """Write the formulas of a ``math`` block, one for each row; the place after it."""
    indent = len(lines[at]) - len(lines[at].lstrip())
    block = [lines[at].partition("::")[2]]
    at += 1
    while at < len(lines) and (
        not lines[at].strip() or len(lines[at]) - len(lines[at].lstrip()) > indent
    ):
        block.append(lines[at])
        at += 1
    for paragraph in re.split(r"\n\s*\n", "\n".join(block)):
        aligned = "&" in paragraph or "\\\\" in paragraph
        for row in re.split(r"\\\\|\n" if aligned else r"\\\\", paragraph):
            formula = " ".join(row.replace("&&", r" \quad ").replace("&", " ").split())
            if formula:
                made += ["", f"$${formula}$$", ""]
    return at
