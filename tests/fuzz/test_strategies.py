"""The strategies keep their promise: valid, small instances that come back from disk."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

import optmodels as om
from optmodels import registry
from tests.fuzz.strategies import SMALL, instances


def test_every_problem_has_a_strategy_within_the_sizes_of_its_generator():
    """A new problem or a renamed size would leave the fuzzers blind."""
    assert set(SMALL) == set(registry.problems())
    for name, sizes in SMALL.items():
        assert set(sizes) <= set(registry.problem(name).sizes)


@pytest.mark.parametrize("problem", registry.problems())
def test_drawn_instances_are_small_and_come_back_from_disk(problem):
    """Of every problem: few rows, and the folder gives the same instance."""

    @settings(
        max_examples=8,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(instances(problem))
    def holds(instance):
        assert sum(len(table) for table in instance.tables.values()) < 400
        with tempfile.TemporaryDirectory() as folder:
            assert om.load(instance.save(Path(folder) / "case")) == instance

    holds()
