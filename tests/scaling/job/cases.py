"""Random cost series of the kinds that break optimisers: smooth, rough, tied, drifting."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

KINDS = ("uniform", "sinusoid", "ties", "tenths", "walk", "monotone")
SWITCHING = (0.0, 0.1, 1.0, 5.0, 20.0, 50.0, 100.0)


def random_costs(rng, kind, slots):
    """Positive costs [g] of one kind."""
    if kind == "uniform":
        return rng.uniform(1.0, 400.0, slots)
    if kind == "sinusoid":
        wave = 200.0 + 120.0 * np.sin(2 * np.pi * (np.arange(slots) + rng.integers(24)) / 24)
        return wave + rng.normal(0.0, 15.0, slots).clip(-60, 60)
    if kind == "ties":
        return rng.integers(1, 6, slots) * 20.0
    if kind == "tenths":
        return rng.integers(1, 40, slots) * 0.1
    if kind == "walk":
        return np.abs(np.cumsum(rng.normal(0.0, 10.0, slots))) + 1.0
    return np.sort(rng.uniform(1.0, 400.0, slots))[:: rng.choice([-1, 1])]


def random_cases(seed, count, longest):
    """Yield `count` times costs, switching cost, and a generator for whatever else is needed."""
    rng = np.random.default_rng(seed)
    for i in range(count):
        slots = int(rng.integers(1, longest + 1))
        yield random_costs(rng, KINDS[i % len(KINDS)], slots), float(rng.choice(SWITCHING)), rng


costs = st.one_of(
    st.lists(st.integers(1, 8).map(lambda i: i * 12.5), min_size=1, max_size=30),
    st.lists(st.floats(0.5, 500.0), min_size=1, max_size=30),
)
"""Positive costs, tied or not."""

switchings = st.one_of(st.sampled_from(SWITCHING), st.floats(0.0, 200.0))
"""Switching costs, zero included."""

shares = st.floats(0.0, 1.0)
"""Parts of a whole, ends included."""
