"""The last large run, kept as a page: sizes, outcomes, seconds, versions."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from tests.fuzz.workers import CASE_SECONDS, FAILED, MEMORY_BYTES, Tally

FILE = Path(__file__).resolve().parents[1] / "results" / "fuzz.md"
_PACKAGES = ("optmodels", "numpy", "pandas", "pydantic", "pyarrow", "highspy", "pyomo", "cvxpy")


def content(tallies: Sequence[Tally], *, seed: int, jobs: int) -> dict[str, Any]:
    """What a run found, as plain values."""
    return {
        "seed": seed,
        "jobs": jobs,
        "limits": {"case_seconds": CASE_SECONDS, "memory_bytes": MEMORY_BYTES},
        "versions": {"python": platform.python_version()} | {p: _version(p) for p in _PACKAGES},
        "kinds": [
            {
                "kind": tally.kind,
                "cases": tally.cases,
                "seconds": round(tally.seconds, 1),
                "slowest_seconds": round(tally.slowest_seconds, 2),
                "peak_bytes": tally.peak_bytes,
                "outcomes": dict(tally.outcomes.most_common()),
                "failures": [
                    {"case": failure.case, "what": failure.what} for failure in tally.failures
                ],
            }
            for tally in tallies
        ],
    }


def keep(found: Mapping[str, Any], arguments: Sequence[str]) -> None:
    """Write the page."""
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(page(found, arguments), encoding="utf-8")


def page(found: Mapping[str, Any], arguments: Sequence[str]) -> str:
    """The page of a run."""
    limits = found["limits"]
    lines = [
        "# Fuzzing",
        "",
        "Damaged inputs through every door of the library. Each case ends in an instance, a plan "
        "or a table that keeps its promises, or in one of our errors; a failed case is a foreign "
        f"exception, a warning, an error of ours that says we are wrong, {limits['case_seconds']:g}"
        f" s without end, more than {limits['memory_bytes'] / 2**20:.0f} MB of memory, a changed "
        "file, or a broken promise.",
        "",
        f"Made by `{shlex.join(['python', '-m', 'tests.fuzz', *arguments])}`, "
        f"{found['jobs']} processes, seed {found['seed']}.",
        "",
        "| kind | cases | failed | seconds | cases/s | slowest case [s] | peak memory [MB] |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for kind in found["kinds"]:
        slowest = kind["slowest_seconds"]
        lines.append(
            f"| {kind['kind']} | {kind['cases']:,} | {len(kind['failures'])} | "
            f"{kind['seconds']:.0f} | {kind['cases'] / kind['seconds']:.0f} | "
            f"{f'{slowest:.1f}' if slowest else 'below 1'} | {kind['peak_bytes'] / 2**20:.0f} |"
        )
    lines += ["", "| kind | outcome | cases | share |", "|---|---|---:|---:|"]
    for kind in found["kinds"]:
        for name, count in kind["outcomes"].items():
            share = count / kind["cases"]
            lines.append(f"| {kind['kind']} | {name} | {count:,} | {share:.1%} |")
    failures = [(kind["kind"], one) for kind in found["kinds"] for one in kind["failures"]]
    lines += ["", f"Cases that {FAILED}: {len(failures) or 'none'}.", ""]
    lines += [f"- {kind} {one['case']}: {one['what']}" for kind, one in failures[:50]]
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    lines += [f"Versions: {versions}.", ""]
    return "\n".join(lines)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "from this folder"
