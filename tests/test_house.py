"""The house: who may import whom, and habits that a linter does not know."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from optmodels import registry

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "optmodels"
MODULES = sorted(PACKAGE.rglob("*.py"))

# Floors from the bottom up: a module imports from its own floor and from those below it.
FLOORS = (
    {"errors", "atomic"},
    {"schema", "cells", "validation", "lines", "text", "words", "canvas", "json_file", "csv_text"},
    {"folder"},
    {"instance"},
    {"plan"},
    {"plan_file", "violations"},
    {"policy", "forecast"},
    {"solver", "traces", "queueing"},
    {"registry", "rolling", "spacing", "synthesis"},
    {"scaling", "rightsizing", "routing", "placement", "ensembles"},
    {"api", "comparison"},
    {"trade_off", "studies", "interop"},
    {"reports"},
    {"cli"},
    {"__main__", "selftest"},
)
FLOOR_OF = {name: number for number, names in enumerate(FLOORS) for name in names}


def room(path):
    """First part of a module below the package."""
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imported(path):
    """Rooms of the package that a module imports, lazily or not, types apart."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.dump(block.test)
        for node in ast.walk(block)
    }
    package = ("optmodels", *path.relative_to(PACKAGE).parts[:-1])
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            dotted = (*base, *(node.module or "").split(".")) if node.module else base
            names = [".".join((*dotted, alias.name)) for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "optmodels" and len(parts) > 1 and parts[1] in FLOOR_OF:
                yield parts[1]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_downwards(path):
    """No room imports from a floor above its own; the solver knows no problem, problems not us."""
    own = room(path)
    if own == "__init__":
        return
    assert own in FLOOR_OF, f"give the room '{own}' a floor"
    for other in imported(path):
        assert FLOOR_OF[other] <= FLOOR_OF[own], f"{own} imports {other}"


def test_problems_do_not_know_each_other():
    """A problem folder imports no other problem's folder, nor anything of another family."""
    folders = {name.replace(".", "/"): f"optmodels.{name}" for name in registry.problems()}
    families = {name.split(".")[0] for name in registry.problems()}
    for path in MODULES:
        relative = path.relative_to(PACKAGE).as_posix()
        if relative.split("/")[0] not in families:
            continue
        text = path.read_text(encoding="utf-8")
        own = relative.split("/")[0]
        for family in families - {own}:
            assert f"optmodels.{family}." not in text, f"{relative} knows '{family}'"
        mine = next((folder for folder in folders if relative.startswith(f"{folder}/")), None)
        for folder, name in folders.items():
            if mine is not None and folder != mine:
                assert f"{name}." not in text, f"{relative} knows '{name}'"
