"""The catalogue: what there is, readable without importing any of it.

``optmodels list`` must answer at once, but names and summaries live with the policies, whose
modules import numpy, pandas and more. So they are gathered once (`gather`) into the file
``catalogue.json``, and a test refuses a file that differs from the code. To write it again::

    python -m optmodels.cli.catalogue
"""

from __future__ import annotations

import json
import shutil
import textwrap
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("catalogue.json")
_INDENT = 30
_NARROWEST = 60


def read() -> list[dict[str, Any]]:
    """The catalogue as stored: one record per problem."""
    problems: list[dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))
    return problems


def text(*, as_json: bool) -> str:
    """The catalogue as ``optmodels list`` prints it."""
    problems = read()
    if as_json:
        return json.dumps(problems, indent=2) + "\n"
    width = max(_NARROWEST, shutil.get_terminal_size((100, 24)).columns)
    lines: list[str] = []

    def entry(label: str, words: str) -> None:
        head = f"  {label}".ljust(_INDENT - 1) + " "
        rest = " " * _INDENT
        lines.append(textwrap.fill(words, width, initial_indent=head, subsequent_indent=rest))

    for problem in problems:
        lines.append(f"{problem['name']}: {problem['title']}")
        entry("methods", ", ".join(problem["methods"]))
        sizes = [name if v is None else f"{name}={v}" for name, v in problem["sizes"].items()]
        entry("sizes (generate --size)", ", ".join(sizes))
        entry("savings against", problem["baseline"])
        if problem["objectives"]:
            entry("frontier --objectives", ", ".join(problem["objectives"]))
        lines.append("  policies (compare --policies)")
        for policy in problem["policies"]:
            needs = f" [needs {', '.join(policy['needs'])}]" if policy["needs"] else ""
            entry(f"  {policy['name']}", policy["summary"] + needs)
    return "\n".join(lines) + "\n"


def gather() -> list[dict[str, Any]]:
    """The catalogue as the code has it."""
    from optmodels import registry

    records = []
    for name in registry.problems():
        problem = registry.problem(name)
        policies = [
            {
                "name": label,
                "summary": kind.summary,
                "needs": sorted(kind.needs),
                "randomised": kind.randomised,
                "default": label in problem.default_policies,
            }
            for label, kind in problem.policies.items()
        ]
        records.append(
            {
                "name": name,
                "title": problem.title,
                "methods": list(problem.methods),
                "baseline": problem.baseline,
                "sizes": dict(problem.sizes),
                "objectives": list(problem.objectives),
                "policies": policies,
            }
        )
    return records


def write() -> None:
    """Store the catalogue of the code."""
    content = json.dumps(gather(), indent=1, ensure_ascii=False, allow_nan=False)
    FILE.write_text(content + "\n", encoding="utf-8")


if __name__ == "__main__":
    write()
