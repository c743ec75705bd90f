"""The instance: everything wrong is told at once, and what is right survives a round trip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from optmodels.errors import InputError
from optmodels.routing.pipeline import synthetic
from optmodels.routing.pipeline.instance import PipelineInstance
from tests.routing.pipeline.instances import chain, small


def flaws_of(inst: PipelineInstance, **changes: Any) -> str:
    """What is said about a changed instance."""
    with pytest.raises(InputError) as caught:
        inst.replace(**changes)
    return str(caught.value)


def with_cell(inst: PipelineInstance, table: str, row: int, column: str, value: Any) -> Any:
    """One of its tables with one cell changed."""
    frame = inst.tables[table].astype({column: object})
    frame.loc[row, column] = value
    return {table: frame.infer_objects()}


@pytest.mark.parametrize(
    ("table", "row", "column", "value", "words"),
    [
        ("hosts", 0, "gpudirect", "offered", "needs a GPU"),
        ("hosts", 2, "gpudirect", "installed", "goes further than the RDMA"),
        ("links", 0, "host_a", "mars", "is not a host"),
        ("links", 0, "host_b", "client", "is linked with itself"),
        ("stages", 0, "kind", "relay", "of 'only' is a relay"),
        ("stages", 0, "service", "nobody", "is not a service"),
        ("stages", 1, "position", 9, "1, 3, 4, 5, 9"),
        ("candidates", 0, "host", "mars", "is not a host"),
        ("candidates", 0, "device", "gpu", "has no GPU"),
        ("candidates", 0, "position", 7, "is not a stage"),
        ("transports", 0, "transport", "udp", "one of tcp, rdma, gpudirect, local"),
        ("services", 0, "limit_ms", 0.0, "is too small"),
    ],
)
def test_each_flaw_is_told(table: str, row: int, column: str, value: Any, words: str) -> None:
    """A wrong cell is named with what would be allowed."""
    inst = chain(("none", "offered", "offered"))
    assert words in flaws_of(inst, **with_cell(inst, table, row, column, value))


def test_flaws_of_different_tables_are_told_together() -> None:
    """Two mistakes, one report."""
    inst = chain(("none", "offered", "offered"))
    text = flaws_of(
        inst,
        **with_cell(inst, "links", 0, "host_a", "mars"),
        **with_cell(inst, "hosts", 0, "gpudirect", "offered"),
    )
    assert "is not a host" in text and "needs a GPU" in text


def test_links_both_ways_relays_on_gpus_and_bad_ties_are_refused() -> None:
    """A link is given once; relays run on processors; ties name two stages of one service."""
    inst = chain(("none", "offered", "offered"))
    links = inst.tables["links"]
    back = links.rename(columns={"host_a": "host_b", "host_b": "host_a"})
    assert "are linked already" in flaws_of(inst, links=pd.concat([links, back.iloc[:1]]))
    places = inst.tables["candidates"]
    places.loc[1, ["host", "device"]] = ["server", "gpu"]
    assert "is a relay on a GPU" in flaws_of(inst, candidates=places)
    tie = pd.DataFrame({"service": ["only"], "position": [2], "with_position": [4]})
    assert "is no pair of stages" in flaws_of(inst, ties=tie)
    less = inst.tables["candidates"].iloc[1:]
    assert "has no candidate" in flaws_of(inst, candidates=less)


def test_latency_at_full_load_must_be_finite() -> None:
    """GPUs that are always busy have no finite latency under sharing."""
    inst = chain(("none", "offered", "offered"))
    assert "no finite latency" in flaws_of(inst, latency_at="busy", gpu_busy_max=1.0)
    assert inst.replace(latency_at="busy", gpu_busy_max=0.5).gpu_stretch == 2


@pytest.mark.parametrize("seed", range(4))
def test_round_trip(tmp_path: Path, seed: int) -> None:
    """Saved and loaded, nothing changes; the services read the same."""
    inst = small(seed, 2)
    inst.save(tmp_path / "x")
    again = PipelineInstance.load(tmp_path / "x")
    assert again == inst
    assert again.services == inst.services


def test_generator_is_seeded_and_checks_its_sizes() -> None:
    """Equal seeds, equal instances; every size out of range is told."""
    assert synthetic.generate(3) == synthetic.generate(3)
    assert synthetic.generate(3) != synthetic.generate(4)
    with pytest.raises(InputError) as caught:
        synthetic.generate(-1, services=0, cards="some", limit_factor=0.0)
    assert len(caught.value.flaws) == 4


@pytest.mark.parametrize("seed", range(3))
def test_choices_limit_the_places_of_a_stage(seed: int) -> None:
    """No stage has more hosts of one kind than were asked for."""
    inst = synthetic.generate(seed, gpu_hosts=9, cpu_hosts=9, gateways=9, choices=2)
    places = inst.tables["candidates"].groupby(["service", "position", "device"]).size()
    assert places.max() == 2
    assert inst.tables["hosts"]["host"].nunique() == 9 * 3 + 3
