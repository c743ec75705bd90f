"""Which code a result depends on: found without running it, no more and no less."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from optmodels import registry
from optmodels.studies import source
from optmodels.studies.source import closure, code_digest


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of its own in the place of this one, with nothing remembered."""
    files = {
        "__init__": "from optmodels.a import f",
        "a": "import optmodels.b\ndef f():\n    if True:\n        from optmodels import c\n",
        "b": "from . import d\nfrom .sub.e import name",
        "c": "",
        "d": "x = 'import optmodels.unused'",
        "sub/__init__": "from optmodels.unused import g",
        "sub/e": "from ..c import x",
        "unused": "",
    }
    for name, text in files.items():
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text))
    monkeypatch.setattr(source, "_ROOT", tmp_path)
    for remembered in (source._digest, source.source_of, source._imports, source._exists):
        remembered.cache_clear()
    yield tmp_path
    for remembered in (source._digest, source.source_of, source._imports, source._exists):
        remembered.cache_clear()


def test_imports_are_followed_wherever_they_stand(package: Path) -> None:
    """Absolute, relative, and inside functions; not those in strings, not those of parents."""
    found = closure(["optmodels.a"])
    assert found == {f"optmodels.{name}" for name in ("a", "b", "c", "d", "sub.e")}


class _Thing:
    __module__ = "optmodels.a"


def test_a_digest_changes_with_what_it_depends_on_and_with_nothing_else(package: Path) -> None:
    """A change two imports away changes the digest; one in an unrelated module does not."""
    before = code_digest([_Thing])
    (package / "unused.py").write_text("y = 1")
    source._digest.cache_clear()
    assert code_digest([_Thing]) == before
    (package / "sub" / "e.py").write_text("from ..c import x\nz = 2")
    source._digest.cache_clear()
    assert code_digest([_Thing]) != before


def test_problems_do_not_depend_on_each_other() -> None:
    """The oracle of one problem needs nothing of another: a change there keeps its results."""
    for name in registry.problems():
        problem = registry.problem(name)
        family = f"optmodels.{name}."
        others = [f"optmodels.{other}." for other in registry.problems() if other != name]
        found = closure([problem.solve.__module__, problem.audit.__module__])
        assert any(module.startswith(family) for module in found)
        assert not [m for m in found for other in others if m.startswith(other)], name


def test_code_without_a_file_counts_by_its_name() -> None:
    """A class typed into a session gives a digest, and two of them give two."""
    here = type("Here", (), {"__module__": "__main__"})
    there = type("There", (), {"__module__": "no.such.module"})
    assert code_digest([here]) != code_digest([there])
