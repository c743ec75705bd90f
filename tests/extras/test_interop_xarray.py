"""Plans as labelled arrays: to the last digit there and back, and audited on the way."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import optmodels as om
from optmodels.comparison import forecast_of, run
from optmodels.errors import AuditError, InputError, MissingExtraError
from optmodels.interop import from_xarray, to_xarray
from optmodels.interop.labelled import DIMENSIONS, ENTRY, unit_of
from optmodels.registry import problem, problems

xarray = pytest.importorskip("xarray", reason="the extra 'xarray' is not installed")

BUNDLED = Path(__file__).resolve().parents[2] / "instances"
TOUR = {
    name: next(
        path
        for path in sorted((BUNDLED / name.replace(".", "/")).iterdir())
        if "impossible" not in path.name
    )
    for name in problems()
}


@pytest.fixture(scope="module")
def plans():
    """Instances with plans of some policies each, the baseline among them, made once."""
    made = {}

    def make(name: str):
        if name not in made:
            instance = om.load(TOUR[name])
            known = problem(name)
            seen, _ = forecast_of(known, instance, None, 0)
            names = [known.default_policies[0], known.baseline, known.default_policies[-1]]
            made[name] = (
                instance,
                [run(instance, known.policy(one), forecast=seen) for one in dict.fromkeys(names)],
            )
        return made[name]

    return make


@pytest.mark.parametrize("name", TOUR)
def test_round_trip(name: str, plans) -> None:
    """Every table comes back equal, and so do cost, claims and provenance.

    Rows in another order would make sums differ in their last digits; a type that got lost would
    make the audit read something else.
    """
    instance, runs = plans(name)
    for plan in runs:
        again = from_xarray(instance, to_xarray(plan))
        assert again.cost == plan.cost
        assert again.objective == plan.objective
        assert (again.maker, again.status, again.bound) == (plan.maker, plan.status, plan.bound)
        assert again.provenance == plan.provenance
        assert list(again.tables) == list(plan.tables)
        for table, frame in plan.tables.items():
            pd.testing.assert_frame_equal(again.tables[table], frame.reset_index(drop=True))


@pytest.mark.parametrize("name", DIMENSIONS)
def test_declared_labels_become_dimensions(name: str, plans) -> None:
    """What is declared as labels is what the tables of real plans have."""
    _, runs = plans(name)
    for plan in runs:
        tree = to_xarray(plan)
        for table, labels in DIMENSIONS[name].items():
            if len(plan.tables[table]):
                assert tuple(tree[table].sizes) == labels, (plan.maker, table)
        for table in set(plan.tables) - set(DIMENSIONS[name]):
            assert tuple(tree[table].sizes) == (ENTRY,)


def test_arrays_say_what_they_are() -> None:
    """Values by label, units as attributes, times in UTC, bound and cost at the root."""
    instance = om.load(TOUR["rightsizing.sites"])
    plan = om.solve(instance, method="auto", mip_gap=1e-2)
    tree = to_xarray(plan)
    sizes = plan.tables["sizes"].set_index("site")["gpus"]
    assert float(tree["sizes"]["gpus"].sel(site=sizes.index[1])) == sizes.iloc[1]
    row = plan.tables["dispatch"].iloc[7]
    cell = tree["dispatch"]["gpus"].sel(time=row["time"].tz_localize(None), site=row["site"])
    assert float(cell) == row["gpus"]
    assert tree["dispatch"]["charge_kw"].attrs["units"] == "kW"
    assert tree["dispatch"]["time"].attrs["timezone"] == "UTC"
    assert tree["cost"]["total"].attrs["units"] == plan.cost.unit == "USD"
    assert tree.attrs["bound"] == plan.bound
    # Slots in which a site runs nothing have no row, and no value.
    assert int(tree["dispatch"]["gpus"].notnull().sum()) == len(plan.tables["dispatch"])


def test_units_of_names() -> None:
    """The longest end of a name that is a unit counts."""
    assert unit_of("carbon_g_per_kwh") == "g/kWh"
    assert unit_of("energy_kwh") == "kWh"
    assert unit_of("requests_per_s") == "1/s"
    assert unit_of("delay_slots") == "slots"
    assert unit_of("turn") is None


def job():
    """The smallest bundled instance and its optimum."""
    instance = om.load(BUNDLED / "scaling/job/caiso-48h")
    return instance, om.solve(instance)


def test_what_was_changed_is_audited_again() -> None:
    """Decisions that were changed break a limit or their claim; nobody else's are taken."""
    instance, plan = job()
    tree = to_xarray(plan)
    tree["shares"]["share"].values[0] *= 0.5
    with pytest.raises(AuditError, match="work done by the deadline"):
        from_xarray(instance, tree)
    tree = to_xarray(plan)
    tree["cost"]["total"].values[()] -= 1
    with pytest.raises(AuditError, match="claims an objective"):
        from_xarray(instance, tree)
    with pytest.raises(InputError, match="belongs to another instance"):
        from_xarray(instance.replace(switching_g=3.0), to_xarray(plan))


def test_order_and_axes_do_not_matter() -> None:
    """A tree whose arrays somebody has transposed is the same plan."""
    instance, _ = job()
    elastic = om.load(BUNDLED / "scaling/job/elastic-profile-72h")
    plan = om.solve(elastic)
    tree = to_xarray(plan)
    turned = tree["shares"].to_dataset().transpose("servers", "time")
    tree["shares"] = xarray.DataTree(turned)
    assert from_xarray(elastic, tree).objective == plan.objective
    assert instance.fingerprint != elastic.fingerprint


def test_rows_in_no_order_stay_a_list() -> None:
    """A table that is no array is a list of entries, whatever is declared for it."""
    elastic = om.load(BUNDLED / "scaling/job/elastic-profile-72h")
    plan = om.solve(elastic)
    shuffled = plan.tables["shares"].sample(frac=1.0, random_state=0).reset_index(drop=True)
    tables = {**plan.tables, "shares": shuffled}
    audit = problem("scaling.job").audit(elastic, tables)
    tree = to_xarray(replace(plan, tables=tables, audit=audit))
    assert tuple(tree["shares"].sizes) == (ENTRY,)
    assert set(tree["shares"].coords) == {"time"}
    pd.testing.assert_frame_equal(from_xarray(elastic, tree).tables["shares"], shuffled)


def test_refusals() -> None:
    """What is no tree of a plan is refused with every flaw."""
    instance, plan = job()
    with pytest.raises(InputError, match="is a Dataset"):
        from_xarray(instance, xarray.Dataset())
    with pytest.raises(InputError, match=r"(?s)attribute fingerprint.*cost"):
        from_xarray(instance, xarray.DataTree())
    tree = to_xarray(plan)
    tree.attrs["provenance"] = "{}"
    with pytest.raises(InputError, match="provenance"):
        from_xarray(instance, tree)
    tree = to_xarray(plan)
    tree["shares"].attrs.pop("columns")
    with pytest.raises(InputError, match="node shares"):
        from_xarray(instance, tree)
    tree = to_xarray(plan)
    tree["shares"]["share"].attrs.clear()
    with pytest.raises(InputError, match="column share"):
        from_xarray(instance, tree)


def test_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without xarray the error names the extra."""
    _, plan = job()
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(MissingExtraError, match=r'pip install "optmodels\[xarray\]"'):
        to_xarray(plan)
    assert np.isfinite(plan.objective)
