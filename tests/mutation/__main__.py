"""Whether the tests of a room notice small faults in its code.

    python -m tests.mutation [--rooms NAME ...] [--sample N] [--seed S] [--survivors]

It needs cosmic-ray beside the ``test`` extra, and a system that can fork. Each mutant is one small
change of one file in a copy of the tree, against which the room's own tests are run until one
fails. ``tests/results/mutation.json`` keeps what was found, ``mutation.md`` shows it; rooms that
are not named keep their results. ``--survivors`` tries only those again that survived before.

A survivor is either no fault, which ``explained.json`` says in a sentence, or a missing test. The
command exits with 1 as long as one is neither.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from tests.machine import machine
from tests.mutation import trial
from tests.mutation.mutants import Mutant, code_of, sample
from tests.mutation.rooms import ROOMS, Room

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "tests" / "results"
EXPLAINED = Path(__file__).with_name("explained.json")


def try_room(name: str, room: Room, tree: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Run the tests of a room against its mutants; what became of each."""
    files = sorted(
        str(path.relative_to(tree)) for pattern in room.sources for path in tree.glob(pattern)
    )
    mutants, places = sample(tree, files, given.sample, given.seed)
    log = tree.parent / "log"
    sound = trial.run(tree, room.tests, log)
    if not sound.passed:
        sys.exit(f"{name}: the tests fail without a mutant\n{log.read_text(encoding='utf-8')}")
    limit = trial.SLOWER * sound.seconds + trial.MARGIN_S
    before = _stored()["rooms"].get(name, {}) if given.survivors else {}
    old = {Mutant(**mutant) for mutant in before.get("survivors", ())}
    hung = int(before.get("hung", 0))
    alive: list[Mutant] = []
    for number, mutant in enumerate(tqdm(mutants, desc=name, leave=False, disable=None), start=1):
        if given.survivors and mutant not in old:
            continue
        path = tree / mutant.file
        text, times = path.read_bytes(), path.stat()
        path.write_text(code_of(tree, mutant), encoding="utf-8")
        # Another time than that of the compiled module, which is therefore not believed.
        os.utime(path, (times.st_atime, times.st_mtime + 10 * number))
        ending = trial.run(tree, room.tests, log, limit)
        path.write_bytes(text)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        hung += ending.hung
        if ending.passed:
            alive.append(mutant)
    return {
        "places": places,
        "mutants": len(mutants),
        "seed": given.seed,
        "hung": hung,
        "tests": list(room.tests),
        "seconds": round(sound.seconds, 1),
        "survivors": [asdict(mutant) for mutant in alive],
        "machine": machine(),
    }


def report(rooms: dict[str, Any], explained: dict[str, str]) -> tuple[str, int]:
    """The results for people, and how many survivors nobody has explained."""
    lines = [
        "# Mutants and what became of them",
        "",
        "`python -m tests.mutation` changes one thing in one line and runs the tests of the room. "
        "The places are drawn at random by a seed, one mutant for each. A mutant that hangs is "
        "killed by its time limit, and counts as killed.",
        "",
        "| room | places | mutants | seed | killed | of these hung | survived | explained |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    details: list[str] = []
    missing = 0
    for name, found in rooms.items():
        alive = [Mutant(**mutant) for mutant in found["survivors"]]
        known = [mutant for mutant in alive if _reason(mutant, explained)]
        missing += len(alive) - len(known)
        lines.append(
            f"| {name} | {found['places']} | {found['mutants']} | {found['seed']} | "
            f"{found['mutants'] - len(alive)} | {found['hung']} | {len(alive)} | {len(known)} |"
        )
        if alive:
            details += ["", f"### {name}", ""]
        for mutant in alive:
            reason = _reason(mutant, explained) or "**not explained: a test is missing**"
            details.append(
                f"- `{Path(mutant.file).name}:{mutant.line}` `{mutant.before}` → "
                f"`{mutant.after}`: {reason}"
            )
    head = ["", "## Survivors"] if details else []
    machines = sorted({found["machine"] for found in rooms.values()})
    return "\n".join([*lines, "", *machines, *head, *details]) + "\n", missing


def _reason(mutant: Mutant, explained: dict[str, str]) -> str | None:
    """Why a survivor is no fault; the same change may be none in any file, which "*" stands for."""
    everywhere = f"*: {mutant.before} -> {mutant.after}"
    return explained.get(mutant.key) or explained.get(everywhere)


def _stored() -> dict[str, Any]:
    path = RESULTS / "mutation.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {"rooms": {}}


def main() -> None:
    """Try the rooms that are named, one after the other; keep and judge."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--rooms", nargs="+", choices=list(ROOMS), default=list(ROOMS))
    parser.add_argument("--sample", type=int, default=40, help="mutants per room (default 40)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--survivors", action="store_true", help="only those that survived before")
    parser.add_argument("--report", action="store_true", help="only write the report again")
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    if not given.report:
        trial.preload()
        with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
            tree = trial.copy_tree(ROOT, Path(folder))
            for name in given.rooms:
                found = try_room(name, ROOMS[name], tree, given)
                stored = _stored()
                stored["rooms"][name] = found
                _write(stored["rooms"])
    missing = _write(_stored()["rooms"])
    sys.stdout.write(f"{missing} survivors without an explanation\n")
    sys.exit(missing > 0)


def _write(rooms: dict[str, Any]) -> int:
    ordered = {name: rooms[name] for name in ROOMS if name in rooms}
    explained = json.loads(EXPLAINED.read_text(encoding="utf-8")) if EXPLAINED.exists() else {}
    text, missing = report(ordered, explained)
    RESULTS.mkdir(exist_ok=True)
    content = json.dumps({"rooms": ordered}, indent=1, ensure_ascii=False)
    (RESULTS / "mutation.json").write_text(content + "\n", encoding="utf-8")
    (RESULTS / "mutation.md").write_text(text, encoding="utf-8")
    return missing


if __name__ == "__main__":
    main()
