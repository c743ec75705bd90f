"""What the README and the docs show is what happens."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import pytest

from optmodels import registry

ROOT = Path(__file__).resolve().parent.parent


def test_python_examples_of_the_readme(monkeypatch):
    """Every Python example of the README gives the output it shows."""
    monkeypatch.chdir(ROOT)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = "\n".join(re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL))
    example = doctest.DocTestParser().get_doctest(blocks, {}, "README", "README.md", 0)
    assert len(example.examples) > 5
    result = doctest.DocTestRunner().run(example)
    assert result.failed == 0


@pytest.mark.parametrize(
    "name",
    [
        "optmodels",
        "optmodels.scaling.job.profile",
        "optmodels.scaling.job.exact.taut_string",
    ],
)
def test_examples_in_docstrings(name):
    """Examples in docstrings give the output they show."""
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0


def test_links_of_the_documents_lead_somewhere():
    """Every relative link in a Markdown file names a file that exists."""
    for path in [*ROOT.glob("*.md"), *ROOT.glob("*/*.md")]:
        if ".venv" in path.parts:
            continue
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.name} links to {target}"


@pytest.mark.parametrize(
    "page",
    [
        "scaling-cluster.md",
        "rightsizing-sites.md",
        "routing-pipeline.md",
        "routing-sites.md",
        "placement-edge.md",
        "placement-accelerators.md",
        "ensembles-selection.md",
        "ensembles-failover.md",
        "ensembles-multilevel.md",
    ],
)
def test_python_examples_of_the_documents(page):
    """Every Python example of a page gives the output it shows."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    blocks = "\n".join(re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL))
    example = doctest.DocTestParser().get_doctest(blocks, {}, page, page, 0)
    assert len(example.examples) > 5
    assert doctest.DocTestRunner().run(example).failed == 0


@pytest.mark.parametrize("problem", registry.problems())
def test_documents_name_every_policy_and_existing_tests(problem):
    """The page of a problem names all its policies, and test files that are there."""
    page = problem.replace(".", "-") + ".md"
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    for name in registry.problem(problem).policies:
        assert f"`{name}`" in text
    for mentioned in re.findall(r"`(tests/[^`]+\.py)`", text):
        assert (ROOT / mentioned).exists(), mentioned
