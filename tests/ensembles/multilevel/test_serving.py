"""Serving: latency of answers, the deadline of the join, and who answers after a failure."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.ensembles.multilevel.serving import Serving
from optmodels.ensembles.multilevel.table import SubsetTable
from optmodels.errors import InputError, UsageError

#: Three members that arrive after 9, 12 and 17 ms.
THREE = Serving(
    encode_ms=(5, 7, 10),
    upload_ms=(3, 3, 4),
    forward_ms=(1, 2, 3),
    reply_ms=2,
    head_ms=0.5,
    exit_ms=0.25,
    refused_ms=1,
    deadline_ms=20,
)
TABLE = SubsetTable(3, np.array([0.5, 0.6, 0.8, 0.7, 0.8, 0.85, 0.9]))
ALL = frozenset((0, 1, 2))


def test_normal_answers_wait_for_the_slowest():
    """All are there before the deadline: the slowest member, the head, and the way back."""
    assert THREE.arrivals_ms.tolist() == [9, 12, 17]
    assert THREE.answer() == (17 + 0.5 + 2, ALL)
    assert THREE.alone_ms.tolist() == [3 + 5 + 2.25, 3 + 7 + 2.25, 4 + 10 + 2.25]
    assert THREE.local_ms == 4 + 22 + 0.5 + 2


def test_a_lost_member_costs_the_deadline_until_it_is_known():
    """Before detection a request waits until the deadline; afterwards only for whoever is up."""
    assert THREE.answer([2]) == (20 + 2.5, frozenset((0, 1)))
    assert THREE.answer([2], known_down=True) == (12 + 2.5, frozenset((0, 1)))
    assert THREE.answer([0], known_down=True) == (17 + 2.5, frozenset((1, 2)))
    assert THREE.answer([0, 1, 2]) == (np.inf, frozenset())


def test_a_deadline_cuts_slow_members_off():
    """At the deadline whoever is there answers; if nobody is, the first to come."""
    at_13 = Serving(**{**vars(THREE), "deadline_ms": 13})
    assert at_13.answer() == (13 + 2.5, frozenset((0, 1)))
    at_0 = Serving(**{**vars(THREE), "deadline_ms": 0})
    assert at_0.answer() == (9 + 2.5, frozenset((0,)))
    assert at_0.answer([0]) == (12 + 2.5, frozenset((1,)))


def test_without_a_deadline_a_lost_member_blocks():
    """A join that waits for ever never answers after a failure, until the failure is known."""
    patient = Serving(**{**vars(THREE), "deadline_ms": np.inf})
    assert patient.answer([1]) == (np.inf, frozenset())
    assert patient.answer([1], known_down=True) == (17 + 2.5, frozenset((0, 2)))


def test_a_lost_combiner_leaves_the_exits():
    """Members answer from their own exits: accuracy is exactly that of the exit that answers."""
    latency, who = THREE.answer(combiner_down=True)
    assert (latency, who) == (3 + 5 + 1 + 0.25 + 2, frozenset((0,)))
    found = THREE.answers(THREE.arrivals_ms[None], combiner_down=True)
    assert found.accuracy(TABLE) == TABLE[frozenset((0,))]
    assert THREE.answer([0], combiner_down=True)[1] == frozenset((1,))
    assert THREE.answer([0, 1, 2], combiner_down=True) == (np.inf, frozenset())


def test_replicated_heads_survive_the_combiner():
    """With heads on every server the loss of a combiner changes nothing."""
    spread = Serving(**{**vars(THREE), "replicated": True})
    assert spread.answer(combiner_down=True) == THREE.answer()


def test_traffic_of_features_and_sums():
    """Sums are counted by listing which server sends which scores to whom."""
    classes, features = 10, (6, 6, 6)
    assert THREE.traffic(features, classes) == {"features": 18, "sums": 3 * 4 * 10}
    spread = Serving(**{**vars(THREE), "replicated": True})
    sums = sum(
        classes
        for sender in range(3)
        for receiver in range(3)
        for number in range(1, 8)
        if sender != receiver and number >> sender & 1 and number >> receiver & 1
    )
    assert spread.traffic(features, classes) == {"features": 36, "sums": sums}
    alone = Serving((1.0,), replicated=True)
    assert alone.traffic((6,), classes) == {"features": 0, "sums": 0}
    with pytest.raises(UsageError, match="3 members"):
        THREE.traffic((6, 6), classes)


def eighths(most):
    """Times that are sums of eighths of a millisecond: no sum of them is rounded."""
    return st.integers(0, most).map(lambda count: count / 8)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    times=st.lists(st.tuples(*[eighths(400)] * 3), min_size=1, max_size=6),
    deadline=eighths(480),
    later=eighths(240),
    down=st.sets(st.integers(0, 2), max_size=2),
)
def test_laws_of_the_deadline(times, deadline, later, down):
    """A later deadline never answers sooner nor by fewer; knowing a failure never costs time.

    Nobody answers who is down or has not arrived, and latency never passes the larger of the
    deadline and the first arrival.
    """
    arrivals = np.array(times)
    early = Serving(**{**vars(THREE), "deadline_ms": deadline})
    late = Serving(**{**vars(THREE), "deadline_ms": deadline + later})
    one, other = early.answers(arrivals, down), late.answers(arrivals, down)
    assert np.all(other.latency_ms >= one.latency_ms)
    assert np.all(other.members & one.members == one.members)
    known = early.answers(arrivals, down, known_down=True)
    assert np.all(known.latency_ms <= one.latency_ms)
    np.testing.assert_array_equal(known.members, one.members)
    for request, number in enumerate(one.members.tolist()):
        up = [m for m in range(3) if m not in down]
        assert number > 0
        joined = one.latency_ms[request] - 2.5
        for m in range(3):
            present = m in up and arrivals[request, m] <= joined
            assert bool(number >> m & 1) == present
        assert joined <= max(deadline, arrivals[request, up].min())


def test_random_times_and_what_a_deadline_buys():
    """Sampled arrivals have the stated medians; a tighter deadline trades accuracy for latency."""
    sampled = THREE.sampled_ms(20_000, spread=0.4, seed=0)
    np.testing.assert_allclose(np.median(sampled, axis=0), THREE.arrivals_ms, rtol=0.02)
    np.testing.assert_array_equal(sampled, THREE.sampled_ms(20_000, spread=0.4, seed=0))
    found = [
        Serving(**{**vars(THREE), "deadline_ms": deadline}).answers(sampled)
        for deadline in (8, 14, 20, 60)
    ]
    latency = [float(one.latency_ms.mean()) for one in found]
    accuracy = [one.accuracy(TABLE) for one in found]
    assert latency == sorted(latency)
    assert accuracy == sorted(accuracy)
    assert accuracy[-1] == pytest.approx(TABLE.full, abs=1e-3)
    assert all(one.answered == 1 for one in found)


def test_no_answer_is_a_wrong_answer():
    """Requests without an answer count against the accuracy, and are counted."""
    patient = Serving((5.0, 5.0))
    table = SubsetTable(2, np.array([0.5, 0.6, 0.8]))
    found = patient.answers([[5, 5], [5, np.inf]])
    assert found.answered == 0.5
    assert found.accuracy(table) == 0.4


def test_impossible_serving():
    """Times that are none, wrong shapes and strangers are refused; flaws are collected."""
    with pytest.raises(InputError, match="4 problems"):
        Serving((1.0, -2.0), upload_ms=(1.0,), head_ms=float("nan"), deadline_ms=-1)
    with pytest.raises(InputError, match="no member"):
        Serving(())
    with pytest.raises(UsageError, match=r"\(requests, 3\)"):
        THREE.answers(np.zeros((4, 2)))
    with pytest.raises(UsageError, match="no member 3"):
        THREE.answer([3])
    with pytest.raises(InputError, match="2 problems"):
        THREE.sampled_ms(0, spread=(0.1, 0.2), seed=0)
