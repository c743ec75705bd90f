r"""Synthetic candidates, samples and servers: seeded, with errors that depend on each other.

A candidate is right on a sample where its own noise and the sample's difficulty together stay below
a threshold: with a normal difficulty :math:`\theta` of the sample and normal noise
:math:`\epsilon`,

.. math:: \sqrt{\rho}\,\theta + \sqrt{1-\rho}\,\epsilon < \Phi^{-1}(p)

has the probability p, the candidate's accuracy, and the latent correlation of any two candidates is
:math:`\rho`. Wrong answers often fall on one confusing class of the sample, as with real models.
Scores are higher where the candidate is right. Larger models are more accurate, slower, and take
more energy. Nothing here was measured.

Only uniform random numbers of PCG64 are drawn, and all values are rounded, so that a seed gives the
same fingerprint on every platform.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
from scipy.special import ndtri

from optmodels.ensembles.selection.accuracies import RULES, IntArray
from optmodels.ensembles.selection.instance import HOLDOUT, VALIDATION, SelectionInstance
from optmodels.policy import FloatArray
from optmodels.synthesis.sizes import Sizes

#: Size arguments of the generator with their defaults.
SIZES: Mapping[str, object] = MappingProxyType(
    {
        "apps": 2,
        "candidates": 7,
        "servers": 4,
        "sites": 2,
        "classes": 4,
        "samples": 60,
        "holdout": 60,
        "correlation": 0.4,
        "room": 0.4,
        "rule": "soft",
        "expected_share": 1.0,
    }
)

NOTE = "synthetic: candidates, samples and servers drawn from a seed"

#: Accuracy of the smallest and of the largest candidate.
ACCURACY = (0.62, 0.85)
#: Memory of the smallest and of the largest candidate [MB].
MEMORY_MB = (20.0, 400.0)
#: Failure probability of the most and of the least reliable server.
FAILING = (0.02, 0.2)
#: Time of an answer: a constant, and per megabyte on a server of speed one [ms].
LATENCY_MS = (5.0, 0.2)
LATENCY_MAX_MS = 80.0
#: Energy per megabyte of a model and request [J].
ENERGY_J_PER_MB = 0.01
ENERGY_MAX_J = 1000.0
#: Share of wrong answers that fall on the confusing class of the sample.
CONFUSED = 0.6
#: Score of the class that is named: least and most, of wrong and of right answers.
SCORES = {False: (0.4, 0.8), True: (0.5, 1.0)}
#: Score of the second class, as a share of the most that it may have.
SECOND = 0.9


def generate(
    seed: int,
    *,
    apps: int = 2,
    candidates: int = 7,
    servers: int = 4,
    sites: int = 2,
    classes: int = 4,
    samples: int = 60,
    holdout: int = 60,
    correlation: float = 0.4,
    room: float = 0.4,
    rule: str = "soft",
    expected_share: float = 1.0,
) -> SelectionInstance:
    """Make synthetic applications and servers; the same arguments give the same fingerprint.

    Parameters
    ----------
    seed
        Seed of every random choice, at least 0.
    apps, candidates
        Number of applications, and of candidates of each.
    servers, sites
        Number of servers, and of sites that have them by turns.
    classes
        Classes of each application.
    samples, holdout
        Validation and hold-out samples of each application.
    correlation
        Latent correlation of errors.
    room
        Memory of a server, as a share of that of the largest candidate times applications.
    rule
        Rule by which members answer together.
    expected_share
        Weight of the expected accuracy.

    Returns
    -------
    SelectionInstance
        The same seed and sizes give the same instance, to the last digit.

    Raises
    ------
    InputError
        A size is out of range; all of them are listed.
    """
    sizes: dict[str, object] = {
        "apps": apps,
        "candidates": candidates,
        "servers": servers,
        "sites": sites,
        "classes": classes,
        "samples": samples,
        "holdout": holdout,
        "correlation": correlation,
        "room": room,
        "rule": rule,
        "expected_share": expected_share,
    }
    _check(seed, sizes)
    rng = np.random.Generator(np.random.PCG64(seed))
    names = [f"app-{_numbered(a, apps)}" for a in range(apps)]
    tables = {
        "servers": _servers(servers, sites, room * apps * MEMORY_MB[1], rng),
        "applications": pd.DataFrame(
            {
                "application": names,
                "weight": [round(1 + u, 2) for u in rng.uniform(size=apps)],
                "rule": rule,
                "latency_max_ms": LATENCY_MAX_MS,
                "energy_max_j": ENERGY_MAX_J,
                "members_max": 16,
                "fallback_accuracy": 0.0,
            }
        ),
        "candidates": _candidates(names, candidates, rng),
    }
    tables["profiles"] = _profiles(tables["candidates"], tables["servers"], rng)
    drawn = [
        _samples(name, tables["candidates"], a, (samples, holdout), classes, correlation, rng)
        for a, name in enumerate(names)
    ]
    tables["samples"] = pd.concat([own for own, _ in drawn], ignore_index=True)
    tables["predictions"] = pd.concat([said for _, said in drawn], ignore_index=True)
    parameters = {"expected_share": expected_share}
    return SelectionInstance(parameters, tables, origin=_origin(seed, sizes))


def _servers(count: int, sites: int, capacity_mb: float, rng: np.random.Generator) -> pd.DataFrame:
    low, high = FAILING
    return pd.DataFrame(
        {
            "server": [f"server-{_numbered(s, count)}" for s in range(count)],
            "site": [f"site-{_numbered(s % sites, sites)}" for s in range(count)],
            "capacity_mb": [round(capacity_mb * (0.5 + u)) for u in rng.uniform(size=count)],
            "failure_probability": [
                round(low + (high - low) * u, 3) for u in rng.uniform(size=count)
            ],
        }
    )


def _candidates(names: list[str], count: int, rng: np.random.Generator) -> pd.DataFrame:
    memory = np.geomspace(*MEMORY_MB, count) if count > 1 else np.array([MEMORY_MB[0]])
    rows = [
        (f"{name}-model-{_numbered(m, count)}", name, round(size * (0.9 + 0.2 * u), 1), 1.0)
        for name in names
        for m, (size, u) in enumerate(zip(memory, rng.uniform(size=count), strict=True))
    ]
    return pd.DataFrame(rows, columns=["candidate", "application", "memory_mb", "vote_weight"])


def _profiles(
    candidates: pd.DataFrame, servers: pd.DataFrame, rng: np.random.Generator
) -> pd.DataFrame:
    speed = dict(zip(servers["server"], 0.5 + rng.uniform(size=len(servers)), strict=True))
    sizes = dict(zip(candidates["candidate"], candidates["memory_mb"].tolist(), strict=True))
    base, per_mb = LATENCY_MS
    rows = [
        (
            name,
            server,
            round(base + per_mb * size / speed[server], 1),
            round(ENERGY_J_PER_MB * size, 2),
        )
        for name, size in sizes.items()
        for server in servers["server"]
    ]
    return pd.DataFrame(rows, columns=["candidate", "server", "latency_ms", "energy_j"])


def _samples(
    application: str,
    candidates: pd.DataFrame,
    number: int,
    counts: tuple[int, int],
    classes: int,
    correlation: float,
    rng: np.random.Generator,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Samples of one application, and what its candidates say on them."""
    own = candidates["candidate"][candidates["application"] == application].tolist()
    total = sum(counts)
    ids = number * total + np.arange(total)
    label = _whole(rng, classes, total)
    confusing = (label + 1 + _whole(rng, classes - 1, total)) % classes
    difficulty = ndtri(_inside(rng, total))
    frames = []
    for accuracy, name in zip(np.linspace(*ACCURACY, len(own)), own, strict=True):
        noise = ndtri(_inside(rng, total))
        latent = np.sqrt(correlation) * difficulty + np.sqrt(1 - correlation) * noise
        right = np.round(latent, 9) < round(float(ndtri(accuracy)), 9)
        other = (label + 1 + _whole(rng, classes - 1, total)) % classes
        wrong = np.where(rng.uniform(size=total) < CONFUSED, confusing, other)
        said = np.where(right, label, wrong)
        # The second class is the right one for who is wrong, and the confusing one for others.
        second = np.where(right, confusing, label)
        u = rng.uniform(size=total)
        low, high = (np.where(right, SCORES[True][i], SCORES[False][i]) for i in (0, 1))
        score = np.round(low + (high - low) * u, 3)
        # The rest, but never as much as the class that is named has.
        rest = np.round(SECOND * np.minimum(score, 1 - score), 3)
        for column, value in ((said, score), (second, rest)):
            frames.append(
                pd.DataFrame({"candidate": name, "sample": ids, "label": column, "score": value})
            )
    split = np.where(np.arange(total) < counts[0], VALIDATION, HOLDOUT)
    told = {"sample": ids, "application": application, "label": label, "split": split}
    return pd.DataFrame(told), pd.concat(frames, ignore_index=True)


def _inside(rng: np.random.Generator, size: int) -> FloatArray:
    """Uniform numbers that are neither 0 nor 1."""
    found: FloatArray = np.clip(rng.uniform(size=size), 1e-12, 1 - 1e-12)
    return found


def _whole(rng: np.random.Generator, count: int, size: int) -> IntArray:
    """Uniform whole numbers from 0."""
    return np.minimum((count * rng.uniform(size=size)).astype(np.int64), count - 1)


def _numbered(number: int, count: int) -> str:
    return f"{number + 1:0{len(str(count))}d}"


def _check(seed: object, sizes: Mapping[str, object]) -> None:
    """Refuse sizes of a wrong kind or out of range."""
    given = Sizes(seed, sizes, "sizes of synthetic ensembles")
    given.whole("apps", "applications", 1, 200)
    given.whole("candidates", "candidates", 1, 60)
    given.whole("servers", "servers", 1, 200)
    given.whole("sites", "sites", 1, 200)
    given.whole("classes", "classes", 2, 1000)
    given.whole("samples", "samples", 1, 100_000)
    given.whole("holdout", "samples", 0, 100_000)
    given.number("correlation", 0, 1)
    given.number("room", 0, 1000)
    given.number("expected_share", 0, 1)
    given.choice("rule", tuple(rule for rule in RULES if rule != "learned"))
    given.check()


def _origin(seed: int, sizes: Mapping[str, object]) -> str:
    """The command that makes the instance again, and what it is."""
    words = ["optmodels", "generate", "ensembles.selection", "OUT", "--seed", str(seed)]
    for name, value in sizes.items():
        if value != SIZES[name]:
            words += ["--size", f"{name}={value}"]
    return f"{shlex.join(words)}  # {NOTE}"
