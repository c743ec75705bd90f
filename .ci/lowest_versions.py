"""Print the lowest versions that pyproject.toml admits, as constraints for pip."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path


def main() -> None:
    """Turn every `name>=version` of the package and its test extra into `name==version`."""
    path = Path(__file__).parent.parent / "pyproject.toml"
    project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    for requirement in wanted:
        match = re.fullmatch(r"([A-Za-z0-9_.-]+)(?:\[[^]]*\])?>=([0-9.]+)", requirement)
        if match is None:
            sys.exit(f"'{requirement}' has no plain lower bound.")
        sys.stdout.write(f"{match[1]}=={match[2]}\n")


main()
