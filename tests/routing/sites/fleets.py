"""Fleets and questions for the tests of the planners: random, from a seed, without tables."""

from __future__ import annotations

from typing import Any

import numpy as np

from optmodels.routing.sites.fleet import Fleet


def fleet(
    rows: Any,
    gpus: Any,
    *,
    ok: Any = None,
    rtt_s: Any = 0.0,
    backup_kw: Any = 0.0,
    weight: Any = 1.0,
    idle_kw: float = 0.0,
    origins: int = 1,
) -> Fleet:
    """Fleet from rows (class, tp, requests per s, kW, residence)."""
    table = np.asarray(rows, dtype=float)
    count = np.asarray(gpus, dtype=float)
    classes = int(table[:, 0].max()) + 1
    degrees = np.unique(table[:, 1]).astype(np.int64)
    shape = (origins, len(count), len(table))
    return Fleet(
        row_class=table[:, 0].astype(np.int64),
        degree_of=np.searchsorted(degrees, table[:, 1]),
        rate=table[:, 2],
        kw=table[:, 3],
        residence=table[:, 4],
        degrees=degrees,
        ok=np.ones(shape, dtype=bool) if ok is None else np.asarray(ok, dtype=bool),
        rtt_s=np.broadcast_to(np.asarray(rtt_s, dtype=float), shape[:2]).copy(),
        gpus=count,
        backup_kw=np.broadcast_to(np.asarray(backup_kw, dtype=float), len(count)).copy(),
        weight=np.broadcast_to(np.asarray(weight, dtype=float), classes).copy(),
        idle_kw=idle_kw,
    )


def random_rows(rng: np.random.Generator, classes: int, per_kind: int, degrees=(1, 2, 4)) -> Any:
    """Rows that look measured: more instances of a batch draw more and serve more, slower."""
    rows = []
    for c in range(classes):
        for tp in degrees:
            for _ in range(per_kind):
                busy, clock = rng.uniform(0.1, 1.0, 2)
                rate = 3.0 * tp**0.9 * busy * (0.5 + 0.5 * clock) / (c + 1)
                kw = tp * (0.2 + 0.9 * busy * clock**2.2)
                rows.append((c, tp, rate, kw, (c + 1) * (1 + busy) / (tp**0.3 * clock)))
    return rows


def random_question(seed: int, **sizes: Any) -> tuple[Fleet, Any, Any]:
    """A fleet, power and demand; some rows are too slow for far origins.

    Parameters
    ----------
    seed
        Seed of everything.
    sizes
        ``sites``, ``origins``, ``classes``, ``per_kind`` (rows per class and degree), ``gpus``,
        ``load``, ``idle_kw``, ``backup_kw``.
    """
    asked = {
        "sites": 2,
        "origins": 2,
        "classes": 2,
        "per_kind": 4,
        "gpus": 12,
        "load": 1.2,
        "idle_kw": 0.0,
        "backup_kw": 0.0,
        "degrees": (1, 2, 4),
    } | sizes
    rng = np.random.default_rng(seed)
    rows = random_rows(rng, asked["classes"], asked["per_kind"], asked["degrees"])
    sites, origins = asked["sites"], asked["origins"]
    rtt = rng.uniform(0.0, 0.3, (origins, sites))
    stay = np.array([row[4] for row in rows])
    longest = np.array([1.9 * (row[0] + 1) for row in rows])
    ok = stay + rtt[:, :, None] * 3 <= longest
    gpus = rng.integers(asked["gpus"] // 2, asked["gpus"] + 1, sites)
    made = fleet(
        rows,
        gpus,
        ok=ok,
        rtt_s=rtt,
        origins=origins,
        idle_kw=asked["idle_kw"],
        backup_kw=asked["backup_kw"],
        weight=rng.choice([0.5, 1.0, 2.0], asked["classes"]),
    )
    power = gpus * rng.uniform(0.0, 0.9, sites)
    power[rng.random(sites) < 0.15] = 0.0
    rate = np.array([row[2] / row[1] for row in rows]).mean()
    share = rng.dirichlet(np.ones(origins * asked["classes"])).reshape(origins, -1)
    return made, power, asked["load"] * share * gpus.sum() * rate * 0.5
