"""Reports: everything is on the page, nothing leaves it, and no text breaks it."""

from __future__ import annotations

import json
import pickle
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

import optmodels as om
from optmodels import comparison, reports
from optmodels.errors import UsageError
from optmodels.plan import Plan
from optmodels.reports.markup import Html, escaped, tag
from optmodels.words import quantity
from tests.cli_runner import CAISO, HIDDEN, IMPOSSIBLE, files, refused, run
from tests.studies.policies import Failing

HOSTILE = "<script>alert(\"x\")</script> & 'n' \u202e${7*7} ]]> --> </table>"


class Reader(HTMLParser):
    """A page as its elements, text and attributes; it must be closed as it was opened."""

    VOID = frozenset({"meta", "link", "img", "br", "rect"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember an element."""
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """It ends what was opened last."""
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep text apart from style and script."""
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        """All text."""
        return " ".join(self.words)

    def count(self, name: str) -> int:
        """How many elements of a name there are."""
        return sum(tag == name for tag, _ in self.tags)


@pytest.fixture(scope="module")
def compared() -> om.Comparison:
    """A comparison with a skipped policy and one with a proven ratio."""
    return om.compare(om.load(HIDDEN), seed=3)


@pytest.fixture(scope="module")
def page(compared: om.Comparison) -> str:
    """Its page."""
    return reports.rendered(compared)


def test_a_comparison_is_told_whole(compared: om.Comparison, page: str) -> None:
    """Question, certificate, every policy with its cost, parts, facts and provenance."""
    read = Reader(page)
    optimum = compared.optimum
    for words in (
        "When should one elastic job run",
        quantity(optimum.objective),
        "No plan can cost less than",
        "unknown-length-96h",
        "direct carbon intensity",
        "execution [g]",
        "proven ≤",
        optimum.fingerprint,
        optimum.provenance.versions["highspy"],
        optimum.provenance.method,
    ):
        assert words in read.text, words
    for _, row in compared.frame.iterrows():
        assert row["policy"] in read.text
        assert f'data-value="{float(row["total"])!r}"' in page
    instance = om.load(HIDDEN)
    assert instance.origin is not None
    assert instance.origin in read.text
    assert read.count("img") >= 2
    assert all(attrs.get("alt") for tag, attrs in read.tags if tag == "img")
    assert all(attrs.get("scope") for tag, attrs in read.tags if tag == "th")


def test_nothing_is_fetched(page: str) -> None:
    """No address but those of its own pictures; the policy of the page forbids all others."""
    for name, attrs in Reader(page).tags:
        for label in ("src", "href", "action", "srcset", "data"):
            assert (attrs.get(label) or "data:").startswith("data:"), (name, attrs)
        assert not any(label.startswith("on") for label in attrs)
        assert "style" not in attrs
    bare = re.sub(r'src="data:[^"]*"', "", page)
    assert not re.search(r"https?://|@import|url\(|fetch\(|XMLHttp", bare)
    assert "default-src &#x27;none&#x27;" in page


def test_the_same_thing_gives_the_same_page(compared: om.Comparison, page: str) -> None:
    """Two runs differ in the times that they state, and in nothing else."""

    def timeless(text: str) -> str:
        return re.sub(r"<time>[^<]*</time>", "", text)

    again = reports.rendered(om.compare(om.load(HIDDEN), seed=3))
    assert timeless(again) == timeless(page)
    assert "<time>" in page


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    """A name that is a script, and one that turns the reading direction, are only shown."""
    instance = om.load(CAISO)
    # Folders may have such names; `replace` takes printable ones only.
    named = type(instance)(
        instance.parameters.model_dump(), instance.tables, name=HOSTILE.replace("\u202e", "")
    )
    text = reports.rendered(om.compare(named, ["run-now"]))
    read = Reader(text)
    assert read.count("script") == 1
    assert "<script>alert" not in text
    assert 'alert("x")' in read.text
    assert escaped(HOSTILE).count("\ufffd") == 1
    assert tag("p", "<b>", Html("<i></i>"), title='"&') == (
        '<p title="&quot;&amp;">&lt;b&gt;<i></i></p>'
    )


def test_a_plan_without_its_instance_has_a_page() -> None:
    """A plan from another process knows no instance: no pictures, but proof, costs and origin."""
    plan = pickle.loads(pickle.dumps(om.solve(CAISO)))
    read = Reader(reports.rendered(plan))
    assert "whose data it came without" in read.text
    assert read.count("img") == 0
    assert "this one is optimal" in read.text
    whole = Reader(reports.rendered(om.solve(CAISO)))
    assert whole.count("img") >= 1
    assert "deadline_slots" in whole.text


def test_what_is_not_proven_is_not_claimed() -> None:
    """A policy's plan has no bound; a plan with a gap says how near it is, and not 'optimal'."""
    compared = om.compare(om.load(CAISO), ["lacs"])
    text = Reader(reports.rendered(compared.plans["lacs"])).text
    assert "Nothing is proven" in text
    assert "this one is optimal" not in text
    optimum = compared.optimum
    near = replace(optimum, bound=0.99 * optimum.objective, status="feasible")
    text = Reader(reports.rendered(near)).text
    assert "within 1.00% of the best possible" in text
    assert "this one is optimal" not in text


def test_a_study_is_told_with_its_failures(tmp_path: Path) -> None:
    """Intervals where there are enough instances, failures by name, rows for every cell."""
    instances = [om.generate("scaling.job", seed=seed, hours=24, work=6) for seed in range(5)]
    policies = {"run-now": "run-now", "lacs": "lacs", "<b>bug</b>": Failing()}
    found = om.study(instances, policies, store=tmp_path / "store", progress=False)
    text = reports.rendered(found)
    read = Reader(text)
    for words in ("Study of 5 instances", "Failures", "a bug in a policy", "<b>bug</b>", "better"):
        assert words in read.text, words
    assert "<b>bug" not in text
    assert text.count('<th scope="row">') > len(found.frame)
    mean = found.summary().set_index("policy")["mean"]["lacs"]
    assert f'data-value="{float(mean)!r}"' in text
    told = run("report", tmp_path / "store", "--out", tmp_path / "s.html", "--json")
    assert told.json["rows"] == len(found.frame)
    assert "a bug in a policy" in (tmp_path / "s.html").read_text()


def test_a_study_with_nothing_done_has_a_page() -> None:
    """All failed: no means, no pictures, but the reason."""
    found = om.study([om.load(CAISO)], {"bug": Failing()}, progress=False)
    failed = found.frame["policy"] == "bug"
    rows = [row for row in found.rows if row["policy"] == "bug"]
    only = replace(
        found,
        frame=found.frame[failed].reset_index(drop=True),
        seconds=found.seconds[failed.to_numpy()].reset_index(drop=True),
        rows=rows,
    )
    read = Reader(reports.rendered(only))
    assert "nothing to sum up" in read.text
    assert "a bug in a policy" in read.text


def test_reports_are_written_whole_or_not_at_all(
    tmp_path: Path, compared: om.Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wrong endings and things without a report are refused; a fault leaves the old file."""
    target = om.report(compared, tmp_path / "deep" / "r.html")
    old = target.read_text(encoding="utf-8")
    assert old.startswith("<!DOCTYPE html>")
    with pytest.raises(UsageError, match=r"not 'r\.pdf'.*\.html"):
        om.report(compared, tmp_path / "r.pdf")
    wrong: object = pd.DataFrame()
    with pytest.raises(UsageError, match="no report on a DataFrame"):
        om.report(wrong, tmp_path / "r.html")  # type: ignore[arg-type]

    def breaks(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Plan, "plot", breaks)
    monkeypatch.setattr(comparison.Comparison, "plot", breaks)
    with pytest.raises(MemoryError):
        om.report(compared, target)
    assert target.read_text(encoding="utf-8") == old
    assert files(tmp_path) == ["deep", "r.html"]


def test_the_command_reports_on_an_instance(tmp_path: Path) -> None:
    """``optmodels report``: the options of compare reach it, and the answer names the file."""
    file = tmp_path / "r.html"
    told = run("report", CAISO, "--policies", "run-now,lacs", "--out", file)
    assert told.code == 0
    assert str(file) in told.out
    read = Reader(file.read_text(encoding="utf-8"))
    assert "2 policies beside the optimum" in read.text
    again = run("report", CAISO, "--policies", "lacs", "--out", file, "--json").json
    assert again["bytes"] == file.stat().st_size
    assert again["fingerprint"] == om.load(CAISO).fingerprint


def test_the_command_refuses(tmp_path: Path) -> None:
    """Bad folders, names and endings: one message and no file; what cannot be solved says why."""
    out = tmp_path / "r.html"
    refused(run("report", tmp_path / "no", "--out", out), "does not exist")
    refused(run("report", CAISO, "--out", tmp_path / "r.txt"), ".html")
    refused(run("report", CAISO, "--policies", "lasc", "--out", out), "Did you mean 'lacs'")
    refused(run("report", IMPOSSIBLE, "--out", out), "deadline", code=3)
    store = tmp_path / "store"
    store.mkdir()
    (store / "store.json").write_text(json.dumps({"optmodels-store": 1}))
    (store / "cells.csv").write_text("")
    refused(run("report", store, "--out", out), "holds no results yet")
    refused(run("report", store, "--seed", 1, "--out", out), "--seed", "leave that out")
    assert files(tmp_path) == ["cells.csv", "store", "store.json"]


def test_pictures_of_plans(tmp_path: Path) -> None:
    """``optmodels plot``: each format, a policy's plan, and every wrong name before solving."""
    for ending, magic in ((".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")):
        file = tmp_path / f"plan{ending}"
        told = run("plot", CAISO, "--out", file, "--json").json
        assert file.read_bytes().startswith(magic)
        assert told["bytes"] == file.stat().st_size
        assert (told["policy"], told["kind"]) == ("optimum", told["kinds"][0])
    told = run("plot", CAISO, "--policy", "lacs", "--kind", "costs", "--out", file, "--json").json
    assert (told["policy"], told["kind"]) == ("lacs", "costs")
    assert told["objective"] == om.compare(om.load(CAISO), ["lacs"]).plans["lacs"].objective
    assert "drawn as" in run("plot", CAISO, "--out", file).out
    before = files(tmp_path)
    out = tmp_path / "x.png"
    refused(run("plot", CAISO, "--kind", "cots", "--out", out), "Did you mean 'costs'")
    refused(run("plot", CAISO, "--policy", "lasc", "--out", out), "Did you mean 'lacs'")
    refused(run("plot", CAISO, "--out", tmp_path / "x.jpg"), ".png, .svg, .pdf")
    refused(run("plot", IMPOSSIBLE, "--out", out), "deadline", code=3)
    refused(run("plot", CAISO), "--out")
    assert files(tmp_path) == before
