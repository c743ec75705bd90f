"""Pages of measurements: the kept tables of the benchmarks, and all their checks on one page."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
_CHECK = re.compile(
    r"^\| (.*) \| (\S+) \| (\S+) \| ([<>]=) \| (True|False) \|$", flags=re.MULTILINE
)


def names() -> list[str]:
    """Benchmarks that have kept tables."""
    return sorted(path.stem for path in RESULTS.glob("*.md"))


def pages() -> dict[str, str]:
    """One page per benchmark, with its tables as kept."""
    return {f"performance/{name}.md": _page(name) for name in names()}


def overview() -> str:
    """All checks of all benchmarks; those that fall short first."""
    short, met = [], []
    for name in names():
        for check, value, limit, sense, ok in _CHECK.findall(_kept(name)):
            row = f"| [{name}](performance/{name}.md) | {check} | {value} | {sense} {limit} |"
            (met if ok == "True" else short).append(row)
    head = "| benchmark | check | measured | asked |\n|---|---|---|---|\n"
    return (
        f"## Checks that fall short: {len(short)}\n\n"
        + (head + "\n".join(short) if short else "None.")
        + f"\n\n## Checks that are met: {len(met)}\n\n{head}"
        + "\n".join(met)
    )


def _kept(name: str) -> str:
    return (RESULTS / f"{name}.md").read_text(encoding="utf-8")


def _page(name: str) -> str:
    lines = _kept(name).splitlines()
    return "\n".join(
        [f"# {name}", "", f"Made by `python benchmarks/{name}.py`.", "", *lines[1:], ""]
    )
