"""What the shared parts know of the cluster: facts, series, names."""

from __future__ import annotations

import numpy as np
import pytest

from optmodels.plan import Plan, Provenance
from optmodels.scaling.cluster import POLICIES, facts, series
from optmodels.scaling.cluster.audit import audit
from optmodels.scaling.cluster.instance import ClusterInstance
from tests.scaling.cluster.instances import cluster
from tests.scaling.cluster.test_audit import plan as rows


def plan_of(made: ClusterInstance, *schedule: tuple[object, ...]) -> Plan:
    """Audited plan of these rows."""
    tables = rows(*schedule)
    return Plan(
        problem=made.problem,
        instance=made.name,
        fingerprint=made.fingerprint,
        maker="hand",
        status="feasible",
        bound=None,
        tables=tables,
        audit=audit(made, tables),
        provenance=Provenance("by hand", 0.0),
    )


def test_facts_by_hand() -> None:
    """Delays in hours, late jobs, violations of the allowed delay, and server-hours in use.

    Half-hour slots. Job 0 (allowed to wait 2) ends at 6 instead of 2: four late, of which two are
    a violation of 100 %. Job 1 may not wait: it ends one slot late and has no allowed delay to be
    measured by. Job 2 (allowed to wait 4) scales up and ends half a slot early.
    """
    made = cluster(
        np.full(10, 100.0),
        [(0, 2, "two"), (1, 1, "none"), (3, 1.5, "four", "flex")],
        queues=[("two", 2, 1), ("none", 0, 1), ("four", 4, 1)],
        profiles=[("rigid", 1, 1.0, 0.0), ("flex", 1, 1.0, 0.0), ("flex", 2, 1.5, 0.0)],
        minutes=30.0,
    )
    found = facts(
        made, plan_of(made, (0, 0, 1, 1.0), (0, 5, 1, 1.0), (1, 2, 1, 1.0), (2, 3, 2, 1.0))
    )
    assert found["mean_delay_h"] == pytest.approx((4 + 1 - 0.5) / 3 / 2)
    assert found["late_share"] == pytest.approx(2 / 3)
    assert found["mean_violation"] == pytest.approx((1.0 + 0.0) / 2)
    assert found["utilisation"] == pytest.approx(5 / (4 * 10))


def test_facts_without_any_delay() -> None:
    """Where no job may wait nothing can be measured by the allowed delay."""
    made = cluster([1.0, 1.0], [(0, 1)])
    assert facts(made, plan_of(made, (0, 0, 1, 1.0)))["mean_violation"] == 0


def test_series() -> None:
    """Forecasts speak of the carbon intensity; a day has as many slots as fit."""
    made = cluster(np.arange(1.0, 9.0), [(0, 1)], minutes=30.0)
    found = series(made)
    assert found.truth.tolist() == made.carbon.tolist()
    assert found.slots_per_day == 48
    assert found.vintages is None


def test_names_of_policies() -> None:
    """Each policy is found by its own name, with a sentence that says what it does."""
    for name, kind in POLICIES.items():
        assert kind.name == name
        assert name == name.lower()
        assert kind.summary
