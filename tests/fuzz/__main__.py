"""``python -m tests.fuzz``: many damaged inputs, and what became of them.

    python -m tests.fuzz --cases 100000            100,000 folders, as many traces, and plans
    python -m tests.fuzz --kind traces --case 17   one case again, with its traceback

Exits with 1 if any case failed. `--record` keeps the result in tests/results/fuzz.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from tqdm import tqdm

from tests.fuzz import record
from tests.fuzz.workers import KINDS, Tally, judged, run_cases

#: Plans are a tenth as many: their files have one form, and no reader of others.
PLANS_SHARE = 10
_LISTED = 20


def main() -> int:
    """Run the cases asked for; 0 if none failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=2000, help="cases of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--kind", choices=[*KINDS, "all"], default="all")
    parser.add_argument("--case", type=int, help="run one case alone, and let its error through")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--record", action="store_true", help="keep in tests/results/fuzz.md")
    given = parser.parse_args()
    kinds = KINDS if given.kind == "all" else (given.kind,)
    if given.case is not None:
        return _one(kinds, given.case, given.seed)
    tallies = []
    for kind in kinds:
        count = given.cases // PLANS_SHARE if kinds == KINDS and kind == "plans" else given.cases
        with tqdm(total=count, desc=kind, unit=" cases", mininterval=2) as bar:

            def show(done: int, bar: tqdm = bar) -> None:
                bar.update(done - bar.n)

            tally = run_cases(kind, range(count), given.seed, jobs=given.jobs, report=show)
        _told(tally, given.seed)
        tallies.append(tally)
    found = record.content(tallies, seed=given.seed, jobs=given.jobs)
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    if given.record:
        record.keep(found, sys.argv[1:])
    return 1 if any(tally.failures for tally in tallies) else 0


def _one(kinds: tuple[str, ...], case: int, seed: int) -> int:
    failed = False
    for kind in kinds:
        with tempfile.TemporaryDirectory() as room:
            outcome, wrong = judged(kind, case, seed, Path(room))
        sys.stdout.write(f"{kind} case {case} of seed {seed}: {outcome} {wrong}\n")
        failed |= bool(wrong)
    return int(failed)


def _told(tally: Tally, seed: int) -> None:
    parts = ", ".join(f"{count:,} {name}" for name, count in tally.outcomes.most_common())
    sys.stderr.write(f"{tally.kind}: {tally.cases:,} cases in {tally.seconds:.0f} s: {parts}\n")
    for failure in tally.failures[:_LISTED]:
        again = f"python -m tests.fuzz --kind {tally.kind} --seed {seed} --case {failure.case}"
        sys.stderr.write(f"  {failure.what}\n    {again}\n")
    if len(tally.failures) > _LISTED:
        sys.stderr.write(f"  ... and {len(tally.failures) - _LISTED} more\n")


if __name__ == "__main__":
    sys.exit(main())
