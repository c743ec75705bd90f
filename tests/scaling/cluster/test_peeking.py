"""No policy of the cluster peeks."""

from __future__ import annotations

import pytest

from optmodels.scaling.cluster import POLICIES
from optmodels.scaling.cluster.synthetic import generate
from tests.scaling.cluster.instances import small
from tests.scaling.cluster.peeking import assert_no_peeking

BUSY = generate(
    5, hours=36, capacity=6, longest_hours=12, most_servers=4, past_hours=96, elasticity="high"
)


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("case", ["small", "tight", "a day and a half"])
def test_no_policy_peeks(name: str, case: str) -> None:
    """Later carbon, lengths of jobs that still run and later jobs change no earlier decision."""
    made = {
        "small": lambda: small(11, jobs=16, slots=48, past=True),
        "tight": lambda: small(12, jobs=24, slots=36, utilisation=0.8, past=True),
        "a day and a half": lambda: BUSY,
    }[case]()
    assert_no_peeking(POLICIES[name], made)
