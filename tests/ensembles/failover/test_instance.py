"""The instance: what is refused, all at once and by place; what is derived, by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from optmodels.ensembles.failover import synthetic
from optmodels.ensembles.failover.instance import FailoverInstance
from optmodels.ensembles.failover.load_times import PRESETS, inference_ms, memory_mb
from optmodels.ensembles.failover.torchvision import CORE, FACTS, facts_frame
from optmodels.errors import InputError
from tests.ensembles.failover.instances import build, golden


def test_derived_arrays_of_the_golden_case() -> None:
    """Free memory, candidates from small to large with the primary last, failures."""
    inst = golden()
    assert inst.free_mb.tolist() == [60, 55, 70]
    options = inst.candidates
    assert options.memory_mb[list(options.of(0))].tolist() == [20, 60, 100]
    assert options.quality[options.primary].tolist() == [1, 1, 1, 1]
    assert options.quality[0] == pytest.approx(0.70 / 0.80)
    assert [failure.failed.tolist() for failure in inst.failures] == [[0, 3], [1], [2]]
    assert inst.detection_ms == 30
    assert (inst.warm_ms, inst.cold_ms) == (40, 45)
    # A's 60 MB fit on s2 only; its home is s0.
    assert inst.may_stand[1].tolist() == [False, False, True]


def test_load_save_and_fingerprint(tmp_path: Path) -> None:
    """With every table, an instance survives its folder; order of rows leaves no trace."""
    inst = build(
        {"A": (0, [(10.0, 0.9), (5.0, 0.8)]), "B": (1, [(10.0, 0.9)])},
        {0: 5.0, 1: 5.0},
        critical="A",
        scenarios=[("x", 0, 2.0), ("x", 1, 2.0), ("y", 1, 1.0)],
        network={(a, k): 2.0 for a in "AB" for k in range(2)},
    )
    inst.save(tmp_path / "x")
    assert FailoverInstance.load(tmp_path / "x") == inst
    shuffled = inst.replace(scenarios=inst.tables["scenarios"].iloc[::-1])
    assert shuffled == inst
    assert [f.probability for f in inst.failures] == pytest.approx([2 / 3, 1 / 3])
    assert inst.failures[0].down.all()


def test_every_flaw_is_told() -> None:
    """Unknown names, several weights, missing pairs, a beaten primary, overfull servers."""
    inst = golden()
    tables = inst.tables
    applications = tables["applications"].copy()
    applications.loc[0, "server"] = "s9"
    applications.loc[1, "model"] = "Z1"
    scenarios = pd.DataFrame(
        {"scenario": ["x", "x", "y"], "server": ["s0", "s1", "s7"], "weight": [1.0, 2.0, 1.0]}
    )
    network = pd.DataFrame({"application": ["A"], "server": ["s0"], "network_ms": [1.0]})
    with pytest.raises(InputError) as caught:
        inst.replace(applications=applications, scenarios=scenarios, network=network)
    text = str(caught.value)
    for words in ("'s9'", "'Z1'", "'s7'", "several weights", "1 of 12 pairs"):
        assert words in text
    servers = tables["servers"].assign(memory_mb=[100.0, 200.0, 200.0], compute_gflops=1.0)
    models = tables["models"].assign(gflop=2.0)
    models.loc[models["model"] == "B40", "accuracy"] = 0.99
    with pytest.raises(InputError) as caught:
        inst.replace(servers=servers, models=models)
    text = str(caught.value)
    for words in ("130 MB of its primaries", "GFLOP/s of its primaries", "'B40'", "more accurate"):
        assert words in text


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [("models", "accuracy", 1.2), ("servers", "memory_mb", 0.0), ("applications", "weight", 0.0)],
)
def test_values_out_of_range(table: str, column: str, value: float) -> None:
    """Fields have ranges."""
    frame = golden().tables[table]
    frame[column] = value
    with pytest.raises(InputError, match=column):
        golden().replace(**{table: frame})


# ----------------------------------------------------------------------------------- generator
def test_generator_is_seeded_and_its_shares_hold() -> None:
    """Same seed, same instance; the free share is that asked for, and every primary fits."""
    inst = synthetic.generate(3, servers=20, applications=100, free_share=0.4)
    assert inst == synthetic.generate(3, servers=20, applications=100, free_share=0.4)
    assert inst != synthetic.generate(4, servers=20, applications=100, free_share=0.4)
    memory = inst.tables["servers"]["memory_mb"].sum()
    assert inst.free_mb.sum() / memory == pytest.approx(0.4, abs=0.001)
    assert inst.critical.sum() == 50
    assert "--seed 3 --size servers=20" in (inst.origin or "")
    assert "generate ensembles.failover" in (inst.origin or "")
    assert (inst.candidates.quality <= 1).all()


def test_generator_refuses_sizes_together() -> None:
    """All sizes out of range are listed."""
    with pytest.raises(InputError) as caught:
        synthetic.generate(-1, servers=1, free_share=1.0, preset="nvme", scope="racks")
    assert len(caught.value.flaws) == 5


def test_facts_and_presets() -> None:
    """27 models of six families, ladders strictly rising; presets and fits by hand."""
    assert len(FACTS) == 38
    assert len(CORE) == 27
    frame = facts_frame()
    for _, ladder in frame.groupby("family"):
        assert ladder.sort_values("file_mb")["top1"].is_monotonic_increasing
    assert frame.set_index("model").loc["convnext_large", "file_mb"] == 754.537
    assert PRESETS["a2_onnx_cached"].load_ms(93.6) == pytest.approx(398)
    assert PRESETS["a2_onnx_first_read"].load_ms(103.0) == pytest.approx(1354)
    np.testing.assert_allclose(PRESETS["orin_trt"].load_ms([1.0, 100.0]), [84.0, 1079.0])
    assert PRESETS["fast"].load_ms(50.0) == pytest.approx(100)
    assert memory_mb(100.0) == pytest.approx(227)
    assert inference_ms(2.0) == pytest.approx(4.6)
