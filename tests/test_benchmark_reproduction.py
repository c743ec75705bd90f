"""The papers beside public data: figures are those of the other benchmarks, verdicts are honest."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import _ensembles_mel as mel  # noqa: E402
import accelerators  # noqa: E402
import carbonedge  # noqa: E402
import failover  # noqa: E402
import heron  # noqa: E402
import pipeline  # noqa: E402
import reproduction  # noqa: E402
from _reproduction_claims import CLAIMS, PAPERS, SYSTEMS, Claim  # noqa: E402


@pytest.fixture(scope="module")
def results() -> dict[str, pd.DataFrame]:
    """The stored tables."""
    return reproduction.stored()


def claim(system: str, words: str) -> Claim:
    """The one claim of a system with these words."""
    [found] = [c for c in CLAIMS if c.system == system and words in c.what]
    return found


def test_every_system_has_a_figure_of_ours(results: dict[str, pd.DataFrame]) -> None:
    """Ten systems, each with its paper; no claim without a figure; every claim gives a reason."""
    report = reproduction.report_of(results)
    assert len(SYSTEMS) == 10
    assert {row["system"] for row in report.rows} == set(SYSTEMS) == set(PAPERS)
    assert all(check.ok for check in report.checks[:2])
    assert all(row["reason"] and row["our data"] and row["paper's source"] for row in report.rows)
    judged = [c for c in CLAIMS if c.comparable]
    assert len(report.checks) == 2 + len(judged)


def test_figures_of_papers_are_those_of_the_other_benchmarks() -> None:
    """A typing error in either place would hold ours against what no paper says."""
    bed, network = carbonedge.PAPER["central Europe"]
    shown = failover.PAPER
    for system, words, figure in (
        ("CarbonEdge", "test bed", bed),
        ("CarbonEdge", "network, Europe", network),
        ("CarbonEdge", "network, United States", carbonedge.PAPER["United States"][1]),
        ("CarbonEdge", "added, Europe", carbonedge.PAPER_MS),
        ("Heron", "at best", heron.PAPER_LEAD),
        ("Ibis", "hosted", accelerators.PAPER_RATIO),
        ("Transport choice", "at best [%]", 100 * pipeline.PAPER_SHARE[0]),
        ("Transport choice", "at best [ms]", pipeline.PAPER_MS[0]),
        ("MEL", "kept", 100 * mel.PAPER_RETENTION),
        ("FailLite", "recovery", shown["mttr_ms"]),
        ("FailLite", "reduction", shown["accuracy_drop_percent"]),
        ("FailLite", "recovered", 100 * shown["recovery_rate"]),
    ):
        assert claim(system, words).paper == pytest.approx(figure)


def test_our_figures_are_those_of_the_other_benchmarks(results: dict[str, pd.DataFrame]) -> None:
    """Leads, ratios and means are taken from the tables as the benchmarks themselves take them."""
    weeks, curve = (heron.leads(results["heron"], part) for part in ("week", "curve"))
    most = max(weeks["lead"].max(), curve["lead"].max())
    assert claim("Heron", "at best").value(results) == pytest.approx(most)
    assert claim("Heron", "weeks, least").value(results) == pytest.approx(weeks["lead"].min())
    ratios = accelerators.ratios(results["accelerators"])
    given = ratios.loc[ratios["memory"] == "as given", "Ibis / best by memory"]
    assert claim("Ibis", "hosted").value(results) == pytest.approx(given.min())
    table = failover.paper_table(results["failover"]).set_index("what")
    ours = table.loc["servers: faillite-tuned"]
    assert claim("FailLite", "time to").value(results) == pytest.approx(ours["mttr_ms"])
    means = mel.means_of(results["ensembles"]).set_index(["case", "system"])["retention"]
    kept = means.xs("multilevel", level="system")[[mel.MAIN, mel.PAIR]].mean()
    assert claim("MEL", "kept").value(results) == pytest.approx(100 * kept)


def test_verdicts_are_honest() -> None:
    """What falls short is not reproduced, also where the effect is there, only smaller."""
    saving = claim("CarbonFlex", "saved on the CPU")
    behind = claim("CarbonFlex", "behind its oracle, CPU")
    relative = claim("RORO", "one-way trading")
    viable = claim("Heron", "GPUs")
    for one, value, words in (
        (saving, saving.paper, reproduction.HOLDS),
        (saving, saving.paper - 1, reproduction.SMALLER),
        (saving, -1.0, reproduction.NOT),
        (saving, float("nan"), reproduction.MISSING),
        (behind, behind.paper + 1, reproduction.NOT),
        (relative, 0.9, reproduction.SMALLER),
        (relative, 1.1, reproduction.NOT),
        (viable, 100.0, reproduction.APART),
    ):
        assert reproduction.verdict(one, value) == words


def test_statistics_pick_the_cells_that_are_claimed() -> None:
    """Mean, most and least of the same cells; cells without a number do not count."""
    frame = pd.DataFrame({"x": [1.0, 2.0, float("nan"), 6.0]})
    base = replace(CLAIMS[0], source="here", ours=lambda table: table["x"])
    found = {name: replace(base, statistic=name) for name in ("mean", "most", "least")}
    values = {name: one.value({"here": frame}) for name, one in found.items()}
    assert values == {"mean": 3.0, "most": 6.0, "least": 1.0}


def test_absent_results_are_said(results: dict[str, pd.DataFrame]) -> None:
    """A table that is not there, or has lost a column, makes claims without a figure, no crash."""
    fewer = {**results, "heron": results["heron"].drop(columns="goodput_per_s")}
    del fewer["failover"]
    report = reproduction.report_of(fewer)
    assert report.checks[0].value == 9
    assert report.checks[1].value == 5  # two of Heron, three of FailLite
    assert not report.ok
    assert any("benchmarks/failover.py" in note for note in report.notes)


def test_the_command_writes_no_result_when_quick(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quick run is the same table; only a full one replaces the stored one."""
    written = []
    monkeypatch.setattr("_harness.save", lambda *given: written.append(given))
    path = tmp_path / "out.json"
    assert reproduction.run(["--quick", "--json", str(path)]) in (0, 1)
    content = json.loads(path.read_text())
    assert len(content["rows"]) == len(CLAIMS)
    assert not written
