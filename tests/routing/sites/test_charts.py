"""Charts: what they show, with labels and units, without any window."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from optmodels.errors import UsageError
from optmodels.plan import Plan, Provenance
from optmodels.routing.sites.audit import audit
from optmodels.routing.sites.charts import MOST_AREAS, power_chart, served_chart, site_chart
from optmodels.routing.sites.instance import RoutingInstance
from optmodels.routing.sites.replay import decisions
from tests.routing.sites.instances import small
from tests.routing.sites.simple import Greedy, run


def planned(inst: RoutingInstance) -> Plan:
    """A plan of the simple policy."""
    tables = decisions(run(inst, Greedy()))
    return Plan(
        inst.problem,
        inst.name,
        inst.fingerprint,
        "greedy",
        "feasible",
        None,
        tables,
        audit(inst, tables),
        Provenance("by hand", 0.0),
    )


INST = small(1, periods=12, backup_kw=2.0, carbon=100.0)
PLAN = planned(INST)


def texts(ax: Any) -> list[str]:
    """Labels of the legend."""
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_power_chart() -> None:
    """Areas add up to the energy of the audit; sites, wind and grid are named, kW on the axis."""
    figure = power_chart(INST, PLAN)
    (ax,) = figure.axes
    assert ax.get_ylabel() == "power [kW]"
    assert ax.get_xlabel() == "time (UTC)"
    assert "greedy" in ax.get_title()
    assert texts(ax) == ["wind and grid", "wind", "s02", "s01", "s00"]
    top = max(path.get_paths()[0].vertices[:, 1].max() for path in ax.collections)
    drawn = top * INST.period_hours
    assert drawn <= PLAN.cost["energy_kwh"] + 1e-9
    wind = ax.lines[0].get_ydata()
    assert np.allclose(wind[:-1], INST.power_kw.sum(axis=1))
    assert ax.get_ylim()[0] == 0
    # From the first period to the end of the last: 12 periods of five minutes.
    left, right = ax.get_xlim()
    assert (right - left) * 24 == pytest.approx(1.0)
    figure.savefig(io.BytesIO(), format="png")


def test_served_chart() -> None:
    """The stack stays below the arrivals; every class has its name."""
    (ax,) = served_chart(INST, PLAN).axes
    assert ax.get_ylabel() == "requests [1/s]"
    assert texts(ax) == ["arrivals", "c02", "c01", "c00"]
    arrivals = ax.lines[0].get_ydata()
    assert np.allclose(arrivals[:-1], INST.demand.sum(axis=(1, 2)))
    top = max(path.get_paths()[0].vertices[:, 1].max() for path in ax.collections)
    assert top <= arrivals.max() * (1 + 1e-9)


def test_site_chart() -> None:
    """Bars end where wind and import of the audit do."""
    (ax,) = site_chart(INST, PLAN).axes
    assert ax.get_xlabel() == "energy [kWh]"
    assert texts(ax) == ["wind used", "imported", "wind spilled"]
    widths = [sum(bar.get_width() for bar in bars) for bars in ax.containers]
    cost = PLAN.cost
    assert widths[1] == pytest.approx(cost["imported_kwh"])
    assert widths[0] + widths[1] == pytest.approx(cost["energy_kwh"])
    assert widths[2] == pytest.approx(cost["spilled_kwh"])
    assert [label.get_text().split()[0] for label in ax.get_yticklabels()] == list(INST.sites)


def test_own_axes_and_other_plans() -> None:
    """Charts go where they are told, and refuse a plan of another question."""
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert power_chart(INST, PLAN, ax=left) is figure
    assert site_chart(INST, PLAN, ax=right) is figure
    with pytest.raises(UsageError, match="belongs to"):
        power_chart(small(2), PLAN)


def test_many_sites_are_drawn_together() -> None:
    """Of thirty sites the eight largest stand alone; nothing of the power is left out."""
    inst = small(3, periods=3, sites=30)
    (ax,) = power_chart(inst, planned(inst)).axes
    labels = texts(ax)
    assert len(labels) == MOST_AREAS + 1
    assert "22 others" in labels
    top = max(path.get_paths()[0].vertices[:, 1].max() for path in ax.collections)
    spent = planned(inst).cost["energy_kwh"] / inst.period_hours
    assert spent / 3 <= top <= spent
