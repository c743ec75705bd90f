"""Charts of plans, comparisons and studies: they show the audited numbers, readably."""

from __future__ import annotations

import pickle
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import optmodels as om
from optmodels import registry
from optmodels.canvas import draw_costs, draw_ratios
from optmodels.comparison import OPTIMUM, run
from optmodels.ensembles.selection.charts import accuracies_by_failure
from optmodels.errors import InputError, UsageError
from optmodels.placement.accelerators.charts import node_figures
from optmodels.placement.edge.charts import placement_chart, stays
from optmodels.plan import Cost, Plan
from optmodels.routing.pipeline.charts import latency_chart
from optmodels.scaling.cluster.charts import usage
from tests.charting import check_texts, check_units

ROOT = Path(__file__).resolve().parent.parent
INSTANCES = {
    "scaling.job": "caiso-48h",
    "scaling.cluster": "two-days-12-servers",
    "rightsizing.sites": "four-sites-28d",
    "routing.sites": "four-sites-4h",
    "routing.pipeline": "five-services-9-hosts",
    "placement.edge": "eight-sites-60-apps",
    "placement.accelerators": "four-nodes-20-apps",
    "ensembles.selection": "two-apps-4-servers",
    "ensembles.failover": "five-sites-16-apps",
}
# Problems whose optimum takes seconds are drawn with the plan of their baseline.
SLOW = ("rightsizing.sites", "routing.sites", "ensembles.failover")
CHARTS = [(name, kind) for name in INSTANCES for kind in registry.problem(name).charts]
LONG = "a-week-of-january-in-the-north-sea-with-three-clusters-and-" * 3 + "end"


@cache
def planned(problem: str) -> tuple[Any, Plan]:
    """The bundled instance of a problem, and a plan of it."""
    instance = om.load(ROOT / "instances" / problem.replace(".", "/") / INSTANCES[problem])
    if problem not in SLOW:
        return instance, om.solve(instance)
    found = registry.problem(problem)
    return instance, run(instance, found.policy(found.baseline))


def bars(ax: Any) -> list[list[float]]:
    """Lengths of horizontal bars, one list for each call."""
    return [[bar.get_width() for bar in each] for each in ax.containers]


@pytest.mark.parametrize(("problem", "kind"), CHARTS)
def test_every_chart_of_every_problem(problem: str, kind: str) -> None:
    """Labels with units, nothing cut or covered, in axes of its own and in given ones."""
    _, plan = planned(problem)
    before = dict(matplotlib.rcParams)
    figure = plan.plot(kind)
    assert isinstance(figure, Figure)
    check_texts(figure)
    check_units(figure)
    ax = Figure(figsize=(10, 6), layout="constrained").subplots()
    assert plan.plot(kind, ax=ax) is ax.figure
    check_texts(ax.figure)
    assert dict(matplotlib.rcParams) == before


def test_every_problem_has_a_cost_split_and_another_chart_first() -> None:
    """The usual chart of a plan shows decisions; the cost split is there for all."""
    for name in om.problems():
        charts = list(registry.problem(name).charts)
        assert charts[-1] == "costs" and len(charts) > 1


def test_no_window_is_needed() -> None:
    """Drawing leaves pyplot, which would open windows and keep figures, alone; so do imports."""
    code = (
        "import sys, optmodels as om; inst = om.generate('scaling.job', seed=0);"
        "plan = om.solve(inst); assert 'matplotlib' not in sys.modules;"
        "[plan.plot(kind) for kind in plan.question.charts];"
        "comp = om.compare(inst, ['lacs']); [comp.plot(kind) for kind in ('ratios', 'costs')];"
        "stud = om.study([inst], ['lacs'], progress=False); stud.plot();"
        "om.frontier(inst, ('energy_kwh', 'carbon_g'), points=3).plot();"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# -- plans and their instances ----------------------------------------------------------------


def test_a_plan_knows_its_instance_wherever_it_comes_from(tmp_path: Path) -> None:
    """Plans of solve, check, compare and frontier are drawn; pickles lack the instance."""
    inst = om.generate("scaling.job", seed=1)
    plan = om.solve(inst)
    comp = om.compare(inst, ["lacs"], optimum=plan)
    front = om.frontier(inst, ("energy_kwh", "carbon_g"), points=3)
    checked = om.check(inst, plan.save(tmp_path / "plan.json"))
    for each in (plan, comp.optimum, comp.plans["lacs"], checked, *front.plans):
        assert each.question is not None and each.question.instance is inst
        assert isinstance(each.plot(), Figure)
    assert "question" not in plan.save(tmp_path / "again.json").read_text()
    assert "question" not in repr(plan)
    alone = pickle.dumps(plan)
    assert len(alone) < len(pickle.dumps((plan, inst))) - len(pickle.dumps(inst)) / 2
    copy = pickle.loads(alone)
    with pytest.raises(UsageError, match=r"registry\.bind\(instance, plan\)"):
        copy.plot()
    assert isinstance(registry.bind(inst, copy).plot(), Figure)
    with pytest.raises(UsageError, match="belongs to"):
        registry.bind(om.generate("scaling.job", seed=2), copy)


def test_unknown_charts_are_named() -> None:
    """An unknown kind is refused with those that there are."""
    inst, plan = planned("scaling.job")
    with pytest.raises(UsageError, match=r"Unknown chart.*schedule"):
        plan.plot("shedule")
    comp = om.compare(inst, ["lacs"], optimum=plan)
    with pytest.raises(UsageError, match=r"Unknown chart.*ratios"):
        comp.plot("ratio")
    for chart in plan.question.charts.values():  # type: ignore[union-attr]
        with pytest.raises(UsageError, match="belongs to"):
            chart(om.generate("scaling.job", seed=5), plan)


# -- what the charts of each problem show -----------------------------------------------------


def test_schedule_of_a_job() -> None:
    """Steps are the plan's servers, the line is the intensity, both to the end of the last slot."""
    # Servers and work are different numbers here.
    inst = om.load(ROOT / "instances/scaling/job/elastic-profile-72h")
    plan = om.solve(inst)
    ax, twin = plan.plot().axes
    heights = ax.patches[0].get_data().values
    np.testing.assert_array_equal(heights, plan.tables["schedule"]["servers"])
    np.testing.assert_array_equal(twin.lines[0].get_ydata()[:-1], inst.carbon)
    ends = matplotlib.dates.num2date(ax.get_xlim())
    assert (ends[0], ends[1]) == (inst.times[0], inst.times[-1] + pd.Timedelta(hours=1))
    assert twin.get_ylabel() == "carbon intensity [g/kWh]"


@pytest.mark.parametrize("policy", ["fcfs", "carbonflex"])
def test_fleet(policy: str) -> None:
    """Servers that run and are held give the audited carbon and hours; all jobs are there."""
    inst, best = planned("scaling.cluster")
    plan = om.compare(inst, [policy], optimum=best).plans[policy]
    found = usage(inst, plan)
    held = (found["running"] + found["idle"]).sum() * inst.slot_hours
    assert held == pytest.approx(plan.cost["server_hours"], rel=1e-12)
    power = found["running"].to_numpy() * float(inst.parameters.server_kw) * inst.slot_hours
    assert power @ found["carbon_g_per_kwh"] == pytest.approx(plan.cost["execution_g"], rel=1e-9)
    assert (found["jobs_waiting"] >= 0).all() and (found["idle"] >= -1e-9).all()
    jobs = plan.tables["jobs"]
    late = jobs["late_slots"].sum()
    assert (found["jobs_late"].sum() >= late - 1e-9) and (late > 0) == found["jobs_late"].any()
    for t in (0, 10, 30):
        there = (jobs["arrival_slot"] <= t) & (jobs["finish_slot"] > t)
        assert found["jobs_running"][t] + found["jobs_waiting"][t] == there.sum()
    servers, _, carbon = plan.plot().axes
    assert servers.get_ylabel() == "servers" and carbon.get_ylabel() == "carbon intensity [g/kWh]"
    np.testing.assert_array_equal(servers.patches[0].get_data().values, found["running"])


def test_applications_at_edge_sites() -> None:
    """Every placed application is at one site; arrows only where somebody went away."""
    inst, plan = planned("placement.edge")
    found = stays(inst, plan)
    assert found["count"].sum() == inst.count.sum()
    placed = plan.tables["placements"].merge(inst.tables["servers"][["group", "site"]], on="group")
    by_site = placed.groupby("site")["count"].sum()
    pd.testing.assert_series_equal(by_site, found.groupby("site")["count"].sum())
    own = placed.merge(inst.tables["applications"][["name", "origin"]], on="name")
    stayed = found.loc[found["home"] == found["site"], "count"].sum()
    assert stayed == own.loc[own["origin"] == own["site"], "count"].sum() < inst.count.sum()
    ax = plan.plot().axes[0]
    arrows = [note for note in ax.texts if note.arrow_patch is not None]
    assert len(arrows) == (found["home"] != found["site"]).sum()
    rows = [label.get_text() for label in ax.get_yticklabels()]
    zones = inst.tables["sites"].set_index("site")["zone"]
    carbon = inst.tables["carbon"].set_index("zone")["carbon_g_per_kwh"]
    assert carbon[zones[rows]].is_monotonic_decreasing
    beside = {
        row: note.get_text() for row, note in zip(rows, ax.texts[len(arrows) :], strict=False)
    }
    # Which of two equal sites hosts is the solver's choice; one that hosts nobody is shown, too.
    hosted = by_site.reindex(rows, fill_value=0).to_dict()
    assert {s: int(text.split(" / ")[0]) for s, text in beside.items()} == hosted


def test_users_without_a_site_are_at_home_where_they_are_nearest() -> None:
    """An origin that is no site belongs to the site of the shortest round trip."""
    inst, _ = planned("placement.edge")
    tables = inst.tables
    for name in ("applications", "latency"):
        tables[name]["origin"] = "town of " + tables[name]["origin"].astype(str)
    moved = inst.replace(applications=tables["applications"], latency=tables["latency"])
    plan = om.solve(moved)
    found = stays(moved, plan)
    assert set(found["home"]) <= set(tables["sites"]["site"])
    assert found["count"].sum() == inst.count.sum()


def test_map_of_edge_sites() -> None:
    """With places: discs at their degrees, intensity as colour, names apart from each other."""
    inst, plan = planned("placement.edge")
    names = inst.tables["sites"]["site"]
    near = np.arange(len(names)) * 0.05
    places = pd.DataFrame({"site": names, "latitude": 50 + near, "longitude": 8 - near})
    figure = placement_chart(inst, plan, places=places)
    check_texts(figure)
    check_units(figure)
    ax, bar = figure.axes
    assert bar.get_ylabel() == "carbon intensity [g/kWh]"
    # Sites that host nobody are crosses of their own.
    drawn = np.concatenate([np.asarray(kind.get_offsets())[:, 1] for kind in ax.collections])
    np.testing.assert_allclose(np.sort(drawn), 50 + near)
    with pytest.raises(InputError, match="one row per site"):
        placement_chart(inst, plan, places=places[1:])


def test_nodes() -> None:
    """Memory and load are those of the audit's formulas, limits those of the instance."""
    inst, plan = planned("placement.accelerators")
    found = node_figures(inst, plan)
    counts = plan.tables["placement"].groupby("node").size()
    assert found.set_index("node")["apps"].to_dict() == counts.to_dict()
    assert found["kept"].all()
    assert (found["memory_share"] <= inst.parameters.memory_share_max * (1 + 1e-6)).all()
    assert (found["load"] <= inst.parameters.load_max * (1 + 1e-6)).all()
    ax = plan.plot().axes[0]
    memory, load = bars(ax)
    np.testing.assert_allclose(memory, 100 * found["memory_share"])
    np.testing.assert_allclose(load, 100 * found["load"])
    limits = [np.asarray(lines.get_segments())[0, 0, 0] for lines in ax.collections]
    given = inst.parameters
    assert limits == pytest.approx([100 * given.memory_share_max, 100 * given.load_max])


def test_ensembles_by_what_fails() -> None:
    """Means are the audited errors; the worst failure of one server is the worst case."""
    inst, plan = planned("ensembles.selection")
    found = accuracies_by_failure(inst, plan).pivot(
        index="failure", columns="application", values="accuracy"
    )
    share = pd.Series({task.name: task.share for task in inst.tasks})
    error = 1 - found @ share
    assert error["nothing fails"] == pytest.approx(plan.cost["undisturbed_error"], rel=1e-12)
    assert error["expected"] == pytest.approx(plan.cost["expected_error"], rel=1e-12)
    assert error["worst case"] == pytest.approx(plan.cost["worst_error"], rel=1e-12)
    single = found[found.index.str.endswith(" fails") & (found.index != "nothing fails")]
    assert inst.rules.worst_failures == 1 and len(single) == len(inst.servers)
    pd.testing.assert_series_equal(single.min(), found.loc["worst case"], check_names=False)
    capacity, *used = bars(plan.plot("memory").axes[0])
    assert capacity == inst.servers.capacity_mb.tolist()
    assert np.sum(used) == pytest.approx(plan.cost["memory_mb"], rel=1e-12)


def test_latency_of_services() -> None:
    """The waterfall is that of the slowest service, or of the one asked for; parts sum to it."""
    inst, plan = planned("routing.pipeline")
    ax = plan.plot("services").axes[0]
    total = np.sum(bars(ax), axis=0)
    names = [label.get_text() for label in ax.get_yticklabels()]
    slowest = plan.plot().axes[0]
    assert slowest.get_title().startswith(names[int(total.argmax())])
    assert np.sum(bars(slowest)) == pytest.approx(total.max(), rel=1e-12)
    other = latency_chart(inst, plan, service=names[0]).axes[0]
    assert np.sum(bars(other)) == pytest.approx(total[0], rel=1e-12)
    with pytest.raises(UsageError, match="Unknown service"):
        latency_chart(inst, plan, service="moon")


def test_cost_splits() -> None:
    """Bars are the parts of the audited cost, without those that are nothing; totals beside."""
    for problem in INSTANCES:
        _, plan = planned(problem)
        ax = plan.plot("costs").axes[0]
        parts = [value for value in plan.cost.parts.values() if value]
        assert [width for (width,) in bars(ax)] == pytest.approx(parts)
        assert plan.cost.unit in ax.get_xlabel()
    gain = Cost({"work_usd": 5.0, "sold_usd": -2.0}, {}, "USD")
    ax = draw_costs({"one": gain, "two": gain}, "t").axes[0]
    assert [bar.get_x() + bar.get_width() for bar in ax.containers[1]] == [-2.0, -2.0]
    assert ax.get_xlim()[0] < -2 and ax.get_xlim()[1] > 5
    nothing = Cost({"work_usd": 0.0}, {}, "USD")
    check_texts(draw_costs({"none": nothing}, "t"))


# -- comparisons ------------------------------------------------------------------------------


def test_comparison() -> None:
    """Dots are the ratios and ticks the proven limits, in the order of the rows; bars the costs."""
    inst, plan = planned("scaling.job")
    names = ["roro-rate-limited", "run-now", "roro"]
    comp = om.compare(inst, names, optimum=plan)
    figure = comp.plot()
    check_texts(figure)
    check_units(figure)
    ax = figure.axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == [OPTIMUM, *names]
    lines = {line.get_label(): line for line in ax.lines}
    np.testing.assert_array_equal(lines["measured"].get_xdata(), comp.frame["ratio"])
    rows = comp.frame[1:]
    proven = rows["certified_ratio"].notna()
    assert 0 < proven.sum() < len(rows)
    limit = lines["proven limit"]
    np.testing.assert_array_equal(limit.get_xdata(), rows.loc[proven, "certified_ratio"])
    np.testing.assert_array_equal(limit.get_ydata(), rows.index[proven])
    assert ax.get_xlabel() == "cost over optimum [×]"
    costs = bars(comp.plot("costs").axes[0])
    np.testing.assert_allclose(np.sum(costs, axis=0), comp.frame["total"])


def test_a_bound_is_called_a_bound() -> None:
    """Where the oracle proves no optimum, ratios are over its bound and the axis says so."""
    inst, plan = planned("scaling.job")
    loose = registry.bind(inst, pickle.loads(pickle.dumps(plan)))
    object.__setattr__(loose, "bound", 0.9 * plan.objective)
    ax = om.compare(inst, ["lacs"], optimum=loose).plot().axes[0]
    assert ax.get_xlabel() == "cost over proven bound [×]"


@pytest.mark.parametrize("given", [False, True])
def test_many_policies_with_long_names(given: bool) -> None:
    """22 policies, names of 70 letters and an endless title are whole and apart, in any axes."""
    names = [f"policy-{n}-with-{'a-long-name-' * (n % 5)}of-its-own" for n in range(22)]
    ratios = np.append(np.linspace(1, 3, 21), np.inf)
    proven = np.where(np.arange(22) % 3, np.nan, 4.0)
    ax = Figure(figsize=(8, 4.5), layout="constrained").subplots() if given else None
    words = {"reference": OPTIMUM, "title": LONG}
    check_texts(draw_ratios(names, ratios, proven, ax=ax, **words))
    assert ax is None or min(tick.get_fontsize() for tick in ax.get_yticklabels()) > 5
    costs = {name: Cost({"a_usd": 1e7, "b_usd": 2.5}, {}, "USD") for name in names}
    ax = Figure(figsize=(8, 4.5), layout="constrained").subplots() if given else None
    check_texts(draw_costs(costs, LONG, ax))


def test_ratios_far_apart_and_endless() -> None:
    """Wide ranges go on a logarithmic axis, endless ratios to its edge; none is left blank."""
    figure = draw_ratios(
        ["a", "b", "c", "d"], [1.0, 300.0, np.inf, np.nan], [np.nan] * 4, reference="x", title="t"
    )
    check_texts(figure)
    ax = figure.axes[0]
    assert ax.get_xscale() == "log" and ax.get_xlim()[1] > 300
    lines = {line.get_label(): line for line in ax.lines}
    assert lines["endless"].get_ydata().tolist() == [2]
    assert [note.get_text() for note in ax.texts] == ["1.000", "300.000", "∞", "", "ratio"]
    assert draw_ratios(["a"], [np.nan], [np.nan], reference="x", title="t")


# -- studies ----------------------------------------------------------------------------------


@cache
def studied() -> om.Study:
    """Six jobs and two clusters under a few policies."""
    jobs = [om.generate("scaling.job", seed=seed) for seed in range(6)]
    clusters = [om.generate("placement.edge", seed=seed) for seed in range(2)]
    first = om.study(jobs, ["run-now", "roro-rate-limited", "random-slots"], progress=False)
    second = om.study(clusters, ["latency-aware", "carbon-edge"], progress=False)
    frame = pd.concat([first.frame, second.frame], ignore_index=True)
    seconds = pd.concat([first.seconds, second.seconds], ignore_index=True)
    return om.Study(frame, seconds, 0, [*first.rows, *second.rows])


def test_study() -> None:
    """Diamonds are the means with their intervals, ticks the greatest proven limits."""
    found = studied()
    figure = found.plot("scaling.job")
    check_texts(figure)
    check_units(figure)
    ax = figure.axes[0]
    table = found.summary("scaling.job")
    assert [label.get_text() for label in ax.get_yticklabels()] == table["policy"].tolist()
    [errors] = ax.containers[-1:]
    np.testing.assert_allclose(errors.lines[0].get_xdata(), table["mean"])
    arms = np.array([segment[:, 0] for segment in errors.lines[2][0].get_segments()])
    np.testing.assert_allclose(arms, table[["low", "high"]])
    lines = {line.get_label(): line for line in ax.lines}
    rows = found.of("scaling.job")
    proven = rows.loc[rows["policy"] == "roro-rate-limited", "certified_ratio"]
    assert lines["greatest proven limit"].get_xdata().tolist() == [proven.max()]
    dots = np.concatenate([x.get_xdata() for x in ax.lines if x.get_markersize() == 3])
    np.testing.assert_allclose(np.sort(dots), np.sort(rows["ratio"]))


def test_panels_of_a_study() -> None:
    """A panel for each problem; given axes take the first; savings are against the baseline."""
    found = studied()
    figure = found.plot()
    check_texts(figure)
    assert [ax.get_title() for ax in figure.axes] == [
        "scaling.job: 6 instances",
        "placement.edge: 2 instances",
    ]
    ax = Figure(layout="constrained").subplots()
    assert found.plot(ax=ax) is ax.figure
    assert ax.get_title().startswith("scaling.job")
    saved = found.plot("scaling.job", "savings")
    check_texts(saved)
    assert saved.axes[0].get_xlabel() == "saving against run-now [%]"
    means = found.summary("scaling.job", "saving")["mean"]
    np.testing.assert_allclose(saved.axes[0].containers[-1].lines[0].get_xdata(), 100 * means)
    for wrong in ({"kind": "ratio"}, {"problem": "scaling.jobs"}):
        with pytest.raises(UsageError, match="Unknown"):
            found.plot(**wrong)


def test_policies_that_never_ran_have_no_row() -> None:
    """Skipped and failed cells are left out of the drawing."""
    found = studied()
    frame = found.frame.copy()
    frame.loc[frame["policy"] == "run-now", ["status", "ratio"]] = ["failed", np.nan]
    ax = om.Study(frame, found.seconds, 0, found.rows).plot("scaling.job").axes[0]
    assert "run-now" not in [label.get_text() for label in ax.get_yticklabels()]


def test_a_single_point_is_a_front_too() -> None:
    """Where one plan is best in both, what it dominates is still seen above and beside it."""
    front = om.frontier(om.generate("scaling.job", seed=0), ("energy_kwh", "carbon_g"), points=3)
    assert len(front.frame) == 1
    ax = front.plot().axes[0]
    [region] = ax.patches
    corners = region.get_xy()
    assert np.ptp(corners[:, 1]) > 0.01 * corners[:, 1].max()
    assert np.ptp(corners[:, 0]) > 0.01 * corners[:, 0].max()


# -- the drawings that there were -------------------------------------------------------------


def test_drawings_of_trade_offs_and_losses() -> None:
    """Fronts, losses and curves of advice are readable as well."""
    jobs = [om.generate("scaling.job", seed=seed) for seed in range(2)]
    long = jobs[0].replace(name=LONG[:150])
    front = om.frontier(long, ("energy_kwh", "carbon_g"), points=4)
    losses = om.gaps(jobs, ["lacs", "roro", "suspend-resume-threshold"])
    curve = om.advice_curve(jobs, ["ro-advice", "roro-rate-limited"], shares=[0.0, 1.0])
    for each in (front, losses, curve):
        figure = each.plot()
        check_texts(figure)
        check_units(figure)


def test_notebooks_show_figures() -> None:
    """A figure is a picture by itself: nobody has to switch a backend on to see it."""
    instance = om.load(ROOT / "instances/scaling/job/caiso-48h")
    plan = om.solve(instance)
    for figure in (plan.plot(), plan.plot("costs")):
        assert figure._repr_png_().startswith(b"\x89PNG")
