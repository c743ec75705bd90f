"""What the README and the documents show is what happens: code, commands, links, tables."""

from __future__ import annotations

import doctest
import gzip
import importlib
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from optmodels import registry

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    *(ROOT / name for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]

#: Commands that are not run here, by their first words, and why not.
NOT_RUN = {
    "git clone": "needs a network; the checkout at hand is what it would bring",
    "mkdocs build": "needs the extra 'docs'; tests/extras/test_docs.py builds the site",
    "python3 -m venv": "installs from a package index; CI runs both lines from nothing",
    ".venv/bin/": "are the checks themselves; CI runs them",
    "pip install": "needs a package index; CI installs every extra that is named here",
    "mpiexec": "takes half a minute on two ranks; tests/rightsizing/sites/test_hedging.py runs two",
    "dask": "starts a service that does not end; tests/studies/test_cluster.py runs one",
    "optmodels compare instances/scaling/job/* --scheduler": "needs that service",
    "optmodels adversary": "searches for a minute; tests/studies/test_adversary.py finds it",
}
#: The order of the headings that every page of a problem has; others may stand between them.
SHAPE = (
    "The mathematics",
    "A worked number",
    "Policies",
    "What the papers say, and what is ours",
    "What was measured",
    "When not to use it",
)


def blocks(path, kind):
    """Fenced blocks of a page."""
    return re.findall(rf"```{kind}\n(.*?)```", path.read_text(encoding="utf-8"), flags=re.DOTALL)


def commands(block):
    """Commands of a shell block, those on several lines joined."""
    return [line for line in block.replace("\\\n", " ").splitlines() if line.strip()]


def with_blocks(kind):
    """Pages that have such blocks, for a parametrised test."""
    return [pytest.param(path, id=path.stem) for path in PAGES if blocks(path, kind)]


@pytest.mark.parametrize("page", with_blocks("python"))
def test_python_examples(page, monkeypatch):
    """Every Python block of a page gives the output it shows, in one session from top to bottom."""
    monkeypatch.chdir(ROOT)
    found = blocks(page, "python")
    for block in found:
        assert block.startswith(">>> "), f"{page.name} shows Python that nobody runs:\n{block}"
    example = doctest.DocTestParser().get_doctest("\n".join(found), {}, page.stem, page.name, 0)
    assert doctest.DocTestRunner().run(example).failed == 0


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


@pytest.fixture
def desk(tmp_path):
    """A folder with what the pages take for granted, and an environment to run commands in."""
    hours = pd.date_range("2022-05-01", "2022-07-31", freq="1h", tz="UTC")
    swing = np.sin(2 * np.pi * np.asarray(hours.hour) / 24)
    carbon = (300 + 80 * swing + np.arange(len(hours)) % 7).round(1)
    head = "Datetime (UTC),Zone Id,Carbon Intensity gCO₂eq/kWh (direct),Data Estimated\n"
    lines = [
        f"{time:%Y-%m-%d %H:%M:%S},US-CAL-CISO,{value},false\n"
        for time, value in zip(hours, carbon, strict=True)
    ]
    with gzip.open(tmp_path / "US-CAL-CISO_2022_hourly.csv.gz", "wt", encoding="utf-8") as file:
        file.writelines([head, *lines])
    pd.DataFrame({"time": hours, "carbon_g_per_kwh": carbon}).iloc[: 24 * 30].assign(
        time=lambda frame: frame["time"].dt.strftime("%Y-%m-%dT%H:%MZ")
    ).to_csv(tmp_path / "own.csv", index=False)
    rng = np.random.default_rng(0)
    count = 20_000
    jobs = pd.DataFrame(
        {
            "arrival_time": np.sort(rng.uniform(0, 30 * 24, count)).round(4),
            "length": rng.lognormal(math.log(2), 1, count).clip(0.1, 40).round(4),
            "cpus": 1,
        }
    )
    jobs.to_csv(tmp_path / "azure-100k.csv.gz", index=False)
    shutil.copytree(ROOT / "instances", tmp_path / "instances")
    paths = [str(Path(sys.executable).parent), os.environ["PATH"]]
    environment = {**os.environ, "PATH": os.pathsep.join(paths), "PYTHONPATH": str(ROOT)}
    return tmp_path, {**environment, "MPLBACKEND": "agg"}


@pytest.mark.parametrize("page", with_blocks("sh"))
def test_shell_examples(page, desk):
    """Every command of a page runs as printed, but for those that are named above with a reason."""
    folder, environment = desk
    for block in blocks(page, "sh"):
        wanted = [line for line in commands(block) if not line.startswith(tuple(NOT_RUN))]
        if not wanted:
            continue
        script = "\n".join(["set -euo pipefail", *wanted])
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"


def test_commands_that_are_not_run_exist():
    """The list of exceptions has no entry that has outlived its command."""
    lines = [line for page in PAGES for block in blocks(page, "sh") for line in commands(block)]
    for start in NOT_RUN:
        assert any(line.startswith(start) for line in lines), start


def test_links_of_the_documents_lead_somewhere():
    """Every relative link in a Markdown file names a file that exists."""
    made = {"reference/face.md"}  # written by the build of the site alone
    for path in [*ROOT.glob("*.md"), *ROOT.glob("*/*.md")]:
        if ".venv" in path.parts:
            continue
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8")):
            if target not in made:
                assert (path.parent / target).exists(), f"{path.name} links to {target}"


@pytest.mark.parametrize("problem", registry.problems())
def test_documents_name_every_policy_and_existing_tests(problem):
    """The page of a problem names all its policies, and test files that are there."""
    text = page_of(problem)
    for name in registry.problem(problem).policies:
        assert f"`{name}`" in text
    for mentioned in re.findall(r"`(tests/[^`]+\.py)`", text):
        assert (ROOT / mentioned).exists(), mentioned


@pytest.mark.parametrize("problem", registry.problems())
def test_pages_of_problems_have_one_shape(problem):
    """Words, mathematics, a worked number that runs, papers, measurements, and an honest no."""
    text = page_of(problem)
    headings = re.findall(r"^## (.*)$", text, flags=re.MULTILINE)
    places = [[h.startswith(wanted) for h in headings].index(True) for wanted in SHAPE]
    assert places == sorted(places), headings
    number = text.partition("## A worked number")[2].partition("\n## ")[0]
    assert ">>> " in number
    assert "$" in text.partition("## The mathematics")[2].partition("\n## ")[0]


def page_of(problem):
    """Text of the page of a problem."""
    return (ROOT / "docs" / f"{problem.replace('.', '-')}.md").read_text(encoding="utf-8")
