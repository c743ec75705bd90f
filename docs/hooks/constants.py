"""The tolerances of the code: every small constant with its value and what its comment says."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import optmodels

PACKAGE = Path(optmodels.__file__).parent
#: Constants above this are no tolerances but shares, times or counts.
_LARGEST = 1e-2
_ASSIGNMENT = re.compile(r"[A-Za-z_]+(?::.*)? = \S")
#: Factors between units, and quantities of the physical world.
_NO_TOLERANCES = {"_MS", "ENERGY_J_PER_MB", "_LEAST_SECONDS"}
#: What a name says where no comment says more.
_BY_NAME = {
    "_ROUNDING": "Relative difference that rounding explains.",
    "_SLACK": "Relative room that rounding may take.",
    "_WHOLE": "Distance from a whole number that counts as none.",
    "_NOISE": "Reduced costs up to this share of the dearest price, and such gaps, count as zero.",
    "_PRICE_NOISE": "Prices of rows up to this size count as zero.",
    "_TRIVIAL_TOLERANCE": "Error of a row without variables that is passed over.",
    "_TIGHT": "Tolerance of the solver when an answer is polished.",
    "_PROPORTIONAL": "Relative error up to which work counts as proportional to servers.",
    "_SMALLEST": "Smallest number that a parameter may be.",
    "_TINY_COST": "Costs of an integer model that are all below this are scaled for the solver.",
}


def tolerances() -> list[tuple[str, str, float, str]]:
    """Module, name, value and meaning of every small number that a module names."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        lines = source.splitlines()
        body = ast.parse(source).body
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        for number, node in enumerate(body):
            name, value = _small(node)
            if name is None or value is None or name in _NO_TOLERANCES:
                continue
            after = body[number + 1] if number + 1 < len(body) else None
            said = _comment(lines, node.lineno) or _string(after) or _BY_NAME.get(name, "")
            found.append((module, name, value, said))
    return found


def text() -> str:
    """One table of all of them."""
    lines = ["| where | name | value | meaning |", "|---|---|---|---|"]
    for module, name, value, meaning in tolerances():
        lines.append(
            f"| `{module}` | `{name}` | {value:g} | {meaning.replace('|', chr(92) + '|')} |"
        )
    return "\n".join(lines)


def _small(node: ast.stmt) -> tuple[str | None, float | None]:
    """Name and value of an assignment of a small float."""
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        target, value = node.targets[0], node.value
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        target, value = node.target, node.value
    else:
        return None, None
    if not (isinstance(target, ast.Name) and isinstance(value, ast.Constant)):
        return None, None
    small = isinstance(value.value, float) and 0 < value.value <= _LARGEST
    return (target.id, value.value) if small else (None, None)


def _comment(lines: list[str], number: int) -> str:
    """The comment right above a line, or at its end."""
    tail = lines[number - 1].partition("#")[2]
    words: list[str] = []
    above = number - 2
    # One comment may speak of several constants in a row.
    while above >= 0 and _ASSIGNMENT.match(lines[above]):
        above -= 1
    while above >= 0 and lines[above].startswith("#"):
        words.insert(0, lines[above].lstrip("#: ").strip())
        above -= 1
    return " ".join(words) or tail.strip()


def _string(node: ast.stmt | None) -> str:
    """The string that follows a constant, as documentation tools read it."""
    if (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    ):
        return " ".join(node.value.value.split())
    return ""
