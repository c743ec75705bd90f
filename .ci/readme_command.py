"""Print the one command of the README that holds a given word, so that CI runs what it says."""

from __future__ import annotations

import re
import sys
from pathlib import Path


def main() -> None:
    """Find the command among the fenced shell blocks of the README."""
    word = sys.argv[1]
    text = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if "pip install" in line]
    found = [line for line in lines if word in line]
    if len(found) != 1:
        sys.exit(f"The README has {len(found)} install commands with '{word}', not one.")
    sys.stdout.write(found[0] + "\n")


main()
