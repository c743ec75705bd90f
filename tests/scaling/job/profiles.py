"""Scaling profiles used by several tests: (servers, throughput, power) with the off level."""

from __future__ import annotations

import numpy as np


def from_marginals(marginals, power=None):
    """Profile with one more server per level, power proportional to servers unless given."""
    throughput = np.concatenate([[0.0], np.cumsum(marginals)])
    servers = np.arange(len(throughput), dtype=float)
    return servers, throughput, servers if power is None else np.asarray(power, dtype=float)


NBODY_100K = from_marginals(
    [1, 0.989, 0.915, 0.886, 0.803, 0.782, 0.740],
    np.cumsum([0.0, 54.8, 54.8, 51.5, 56.4, 55.4, 58.1, 59.7]),
)
"""Marginal throughput that falls and power that hardly bends, as a measured N-body code has it."""

VGG16 = from_marginals(
    [1, 0.217, 0.265, 0.282, 0.334, 0.341, 0.352, 0.343],
    [0, 148, 290, 430, 570, 700, 830, 820, 960],
)
"""Marginal throughput that rises after a sharp drop, and one server that lowers the power."""


def random_profile(rng, levels, kind):
    """Random profile of one kind, off first: concave, measured, or clocks."""
    if kind == "concave":
        gains = np.sort(rng.uniform(0.1, 1.0, levels))[::-1]
        gaps = rng.integers(1, 4, levels)
        servers = np.concatenate([[0.0], np.cumsum(gaps)])
        throughput = np.concatenate([[0.0], np.cumsum(gains * gaps)])
        draws = np.sort(rng.uniform(0.5, 1.5, levels))
        return servers, throughput, np.concatenate([[0.0], np.cumsum(draws * gaps)])
    if kind == "measured":
        servers = np.concatenate([[0.0], np.cumsum(rng.uniform(0.5, 2.0, levels))])
        return (
            servers,
            np.concatenate([[0.0], rng.uniform(0.2, 4.0, levels)]),
            np.concatenate([[0.0], rng.uniform(0.5, 3.0, levels)]),
        )
    servers = np.concatenate([[0.0], rng.integers(1, 3, levels)]).astype(float)
    clock = np.concatenate([[0.0], rng.uniform(0.5, 1.5, levels)])
    order = rng.permutation(levels + 1)
    return tuple(a[order] for a in (servers, servers * clock, servers * (0.3 + clock**3)))
