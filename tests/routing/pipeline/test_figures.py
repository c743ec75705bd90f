"""Frames add up, charts are drawn where they are told to."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from optmodels.errors import UsageError
from optmodels.routing.pipeline import synthetic
from optmodels.routing.pipeline.catalogue import MODELS
from optmodels.routing.pipeline.figures import (
    PROXIED,
    breakdown,
    load_figures,
    priority_table,
    savings_table,
    transport_table,
    waterfall,
    without_interference,
)
from optmodels.routing.pipeline.optimum import solve
from optmodels.routing.pipeline.serving import Serving
from tests.routing.pipeline.instances import chain, small


@pytest.mark.parametrize("seed", [0, 7, 22])
def test_breakdown_adds_up_to_the_latency_of_each_service(seed: int) -> None:
    """Part by part, nothing is lost and nothing counted twice."""
    inst = small(seed, 2)
    plan = solve(inst)
    parts = breakdown(inst, plan)
    rates = inst.tables["services"].set_index("service")["rate_per_s"]
    latency = parts.groupby("service")["ms"].sum()
    assert (latency * rates).sum() / rates.sum() == pytest.approx(plan.cost["latency_ms"])
    assert (parts["ms"] > 0).all()


def test_breakdown_of_an_instance_is_that_of_the_served_model() -> None:
    """Two ways to the same waterfall: an instance with one route, and the model behind a proxy."""
    inst = chain(("none", "installed", "installed"))
    parts = breakdown(inst, solve(inst))
    served = Serving(MODELS["EfficientNetB0"], ("tcp", "rdma"))
    found = dict(served.parts())
    by = parts.groupby("part")["ms"].sum()
    assert by["copy to GPU"] == pytest.approx(found["copy to GPU"])
    assert by["copy to host"] == pytest.approx(found["copy to host"])
    assert by["translation"] == pytest.approx(
        found["translation, request"] + found["translation, answer"]
    )
    assert by.sum() == pytest.approx(served.alone_ms)


def test_tables_of_transports_and_savings() -> None:
    """The first chain is what the others are measured by; one client is a lone request."""
    table = transport_table(chains=PROXIED)
    assert len(table) == len(MODELS) * len(PROXIED)
    assert (table.loc[table["transports"] == "tcp → tcp", "saved"] == 0).all()
    assert (table["saved_ms"] >= 0).all()
    savings = savings_table(clients=(1, 4))
    lone = savings[(savings["clients"] == 1)].reset_index(drop=True)
    direct = transport_table(chains=[("tcp",), ("rdma",), ("gpudirect",)])
    assert lone["saved_ms"].to_numpy() == pytest.approx(direct["saved_ms"].to_numpy())
    calm = savings_table(clients=(64,), constants=without_interference())
    assert calm["saved"].max() < 1e-2


def test_priority_table_rises_with_the_others() -> None:
    """Inversion grows with the load of others, and is nothing by GPUDirect."""
    table = priority_table(MODELS["YoloV4"], 5.0, [5.0, 20.0])
    wide = table.pivot(index="transports", columns="other_per_s", values="inversion_ms")
    assert (wide.loc["gpudirect"] == 0).all()
    assert (wide.loc[["tcp", "rdma"], 20.0] > wide.loc[["tcp", "rdma"], 5.0]).all()


def test_load_figures_are_sorted_and_within_limits() -> None:
    """The fullest resource first; shares are those of the audit."""
    inst = synthetic.generate(1, services=3, gpu_hosts=2)
    plan = solve(inst)
    frame = load_figures(inst, plan)
    assert frame["share"].is_monotonic_decreasing
    assert frame["share"].max() <= 1 + 1e-9
    busy = frame.loc[frame["kind"] == "GPUs", "used"].sum()
    assert busy == pytest.approx(plan.cost["busy_gpus"])


def test_waterfall_draws_every_part_from_where_the_last_one_ended() -> None:
    """A bar per part; given axes are used, otherwise a new figure is returned."""
    served = Serving(MODELS["DeepLabV3"], ("tcp", "rdma"))
    figure = waterfall(served, title="x")
    bars = figure.axes[0].patches
    assert len(bars) == len(served.parts())
    ends = [bar.get_x() + bar.get_width() for bar in bars]
    starts = [bar.get_x() for bar in bars]
    assert starts[1:] == pytest.approx(ends[:-1])
    assert ends[-1] == pytest.approx(served.alone_ms)
    own = Figure()
    ax = own.subplots()
    inst = chain(("none", "none", "none"))
    assert waterfall(breakdown(inst, solve(inst)), ax=ax) is own
    assert ax.patches


def test_waterfall_refuses_what_it_cannot_draw() -> None:
    """Several services, no rows, missing columns."""
    inst = small(0, 2)
    parts = breakdown(inst, solve(inst))
    with pytest.raises(UsageError, match="2 services"):
        waterfall(parts)
    with pytest.raises(UsageError, match="no rows"):
        waterfall(parts.iloc[:0])
    with pytest.raises(UsageError, match="column 'ms'"):
        waterfall(parts.drop(columns="ms"))
