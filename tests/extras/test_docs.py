"""The site of the documents: it builds without a warning, and nothing in it leads nowhere."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

pytest.importorskip("mkdocs", reason="needs the extra 'docs'")
pytest.importorskip("mkdocstrings", reason="needs the extra 'docs'")

ROOT = Path(__file__).resolve().parents[2]
HOOKS = ROOT / "docs" / "hooks"
#: What a browser fetches by itself, by element and attribute.
FETCHED = {
    ("link", "href"),
    ("script", "src"),
    ("img", "src"),
    ("iframe", "src"),
    ("source", "src"),
    ("object", "data"),
}


class Page(HTMLParser):
    """Anchors, links and fetches of a page."""

    def __init__(self, text):
        super().__init__()
        self.anchors, self.links, self.fetched = set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        """Note what an element names, leads to or loads."""
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.anchors.add(value)
            if (tag, name) == ("a", "href") and value:
                self.links.append(value)
            if (tag, name) in FETCHED and value:
                self.fetched.append(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site: the folder, its pages, and what the build said."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    pages = {
        path.relative_to(folder).as_posix(): Page(path.read_text(encoding="utf-8"))
        for path in folder.rglob("*.html")
    }
    return folder, pages, said


def test_the_build_says_nothing_but_what_it_does(site):
    """No warning: no broken link, no missing page, no page outside the navigation."""
    _, pages, said = site
    assert "WARNING" not in said, said
    assert "not included in the" not in said, said
    assert len(pages) > 50


def test_every_page_is_in_the_navigation(site):
    """Every page can be reached from the first one by its navigation."""
    _, pages, _ = site
    reached = {target(name, link) for name, page in pages.items() for link in page.links}
    for name in pages:
        if name != "404.html":
            assert name in reached, f"nothing leads to {name}"


def test_links_and_anchors_lead_somewhere(site):
    """Every link within the site names a page that is there, and an anchor on it."""
    folder, pages, _ = site
    broken = []
    for name, page in pages.items():
        if name == "404.html":
            continue
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme:
                assert parts.scheme in ("https", "mailto"), f"{name}: {link}"
                continue
            goal = target(name, link)
            anchor = unquote(parts.fragment)
            if goal not in pages:
                if not (folder / goal).exists():
                    broken.append(f"{name}: {link}")
            elif anchor and anchor not in pages[goal].anchors | {"__codelineno"}:
                broken.append(f"{name}: {link}")
    assert not broken


def test_pages_fetch_nothing_from_elsewhere(site):
    """No font, script, picture or style comes from another host, from a page or from a style."""
    folder, pages, _ = site
    for name, page in pages.items():
        assert not [link for link in page.fetched if urlsplit(link).netloc], name
    for path in folder.rglob("*.css"):
        text = path.read_text(encoding="utf-8")
        assert not re.findall(r"(?:url\(|@import)[\s\"']*(?:https?:)?//", text), path.name


def test_all_formulas_are_set(site):
    """No mark for a script that is not there is left of any formula, of a page or a docstring."""
    folder, pages, _ = site
    texts = {name: (folder / name).read_text(encoding="utf-8") for name in pages}
    assert sum(text.count("<math") for text in texts.values()) > 400
    for name, text in texts.items():
        for left in ("arithmatex", ":math:", ".. math::", "=====  "):
            assert left not in text, f"{name} shows {left!r}"


def test_made_pages_hold_what_they_are_made_of(site):
    """Every policy, table, tolerance and benchmark stands on the page that is made of it."""
    from optmodels import registry

    folder, _, _ = site
    algorithms = (folder / "algorithms.html").read_text(encoding="utf-8")
    formats = (folder / "data-formats.html").read_text(encoding="utf-8")
    for name in registry.problems():
        problem = registry.problem(name)
        for policy in problem.policies:
            assert f'id="{name.replace(".", "-")}-{policy}"' in algorithms
        for table in problem.instance.table_models:
            assert f'id="{name.replace(".", "-")}-{table}"' in formats
    measured = (folder / "performance.html").read_text(encoding="utf-8")
    for path in (ROOT / "benchmarks" / "results").glob("*.md"):
        assert f"performance/{path.stem}.html" in measured
    assert "FEASIBILITY_TOLERANCE" in (folder / "tolerances.html").read_text(encoding="utf-8")


def test_formulas_become_markup(monkeypatch):
    """The modules' examples hold; what is not known stops the build instead of being half set."""
    monkeypatch.syspath_prepend(str(HOOKS))
    import docstrings
    import mathematics

    for module in (docstrings, mathematics):
        result = doctest.testmod(module)
        assert result.attempted > 0
        assert result.failed == 0
    assert "<munderover>" in mathematics.mathml(r"\sum_{t=1}^T c_t", block=True)
    for wrong in (r"\unknown{x}", "{x", "x_", r"\frac{1}"):
        with pytest.raises(mathematics.FormulaError):
            mathematics.mathml(wrong)


def test_every_tolerance_says_what_it_is_for(monkeypatch):
    """No small constant stands on the page without a meaning: give a new one a comment above it."""
    monkeypatch.syspath_prepend(str(HOOKS))
    import constants

    found = constants.tolerances()
    assert len(found) > 100
    assert not [f"{module}.{name}" for module, name, _, meaning in found if not meaning]


def target(page, link):
    """Path in the site that a link on a page leads to."""
    path = unquote(urlsplit(link).path)
    if not path:
        return page
    return Path(os.path.normpath(Path(page).parent / path)).as_posix()
