"""What all oracles have in common."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

import optmodels as om
from optmodels import registry
from optmodels.solver.options import Limits

#: Sizes at which "auto" goes as far as a search that could take long.
SIZES = {
    "scaling.job": {"hours": 24},
    "scaling.cluster": {"hours": 24, "capacity": 3, "jobs": 10, "most_servers": 4},
    "rightsizing.sites": {"hours": 168},
    "routing.sites": {"hours": 1, "sites": 1, "classes": 2},
    "routing.pipeline": {"services": 3, "gpu_hosts": 2, "cpu_hosts": 1},
    "placement.edge": {"sites": 8, "applications": 60, "zones": 4},
    "placement.accelerators": {},
    "ensembles.selection": {},
    "ensembles.failover": {"applications": 10},
}


def listen(monkeypatch):
    """The list that the limits of every solve are added to."""
    given = []
    check = Limits.__post_init__

    def heard(limits):
        given.append(limits.time_limit_s)
        check(limits)

    monkeypatch.setattr(Limits, "__post_init__", heard)
    return given


@pytest.fixture(scope="module")
def compared():
    """Every problem's comparison as text, and the time limits of all solves on the way."""
    with pytest.MonkeyPatch.context() as patch:
        given = listen(patch)
        text = {}
        for name, size in SIZES.items():
            found = om.compare(om.generate(name, seed=1, **size)).frame.drop(columns="seconds")
            text[name] = found.to_csv(index=False)
    return text, given


def test_without_a_limit_nobody_looks_at_the_clock(compared):
    """A plan does not depend on the speed of the machine: no solve gets a time limit of its own.

    A search that is given seconds makes tables of studies differ between a quiet machine and a busy
    one.
    """
    text, given = compared
    assert set(text) == set(registry.problems())
    assert len(given) > len(SIZES)
    assert set(given) == {None}


def test_a_limit_of_the_user_reaches_the_solver(monkeypatch):
    """The test above can fail: limits that a user gives are seen."""
    given = listen(monkeypatch)
    om.solve(om.generate("ensembles.selection", seed=1), time_limit_s=30.0)
    assert any(limit is not None and limit <= 30.0 for limit in given)


def test_nodes_of_the_user_come_before_ours():
    """Whoever says how many nodes a search has gets these."""
    from optmodels.solver import with_nodes

    assert with_nodes(None, 5) == {"mip_max_nodes": 5}
    assert with_nodes({"mip_max_nodes": 7, "presolve": "off"}, 5) == {
        "mip_max_nodes": 7,
        "presolve": "off",
    }


#: Compares all policies on the instances above, and prints every number to the last digit.
_COMPARE = """
import json, sys
import optmodels as om

text = {}
for name, size in json.loads(sys.argv[1]).items():
    found = om.compare(om.generate(name, seed=1, **size)).frame.drop(columns="seconds")
    text[name] = found.to_csv(index=False)
print(json.dumps(text))
"""


def test_numbers_do_not_depend_on_the_process(compared):
    """Another process, which hashes texts differently, agrees in every digit of every policy.

    A sum over a set has another order, and another last digit, in every process: tables of studies
    would differ from engine to engine.
    """
    done = subprocess.run(
        [sys.executable, "-c", _COMPARE, json.dumps(SIZES)],
        env={**os.environ, "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == compared[0]
