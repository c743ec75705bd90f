"""Small questions, and ways to answer them one configuration after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, product

import numpy as np

from optmodels.ensembles.selection.accuracies import IntArray
from optmodels.ensembles.selection.evaluation import validated
from optmodels.ensembles.selection.instance import SelectionInstance
from optmodels.ensembles.selection.pool import Fleet, Pool, from_predictions
from optmodels.ensembles.selection.tasks import Placement, faults, has_room
from optmodels.policy import FloatArray

GOLDEN = ("11111100", "11111010", "11100110", "00111011", "10001111")
GOLDEN_MB = (100.0, 100.0, 60.0, 60.0, 50.0)


def golden(
    rule: str, failing: Sequence[float] = (0.1, 0.2, 0.3), **more: object
) -> SelectionInstance:
    """Five models, eight samples, three servers; checked by brute force elsewhere."""
    right = np.array([[digit == "1" for digit in row] for row in GOLDEN])
    scores = np.stack([right, ~right], axis=2).astype(np.float64)
    pool = Pool([f"m{m}" for m in range(5)], GOLDEN_MB, [1.0] * 5, [1.0, 2.0, 3.0, 4.0, 5.0])
    fleet = Fleet((100.0, 60.0, 60.0), failing)
    return from_predictions(pool, fleet, (scores, np.zeros(8, dtype=np.int64)), rule=rule, **more)  # type: ignore[arg-type]


def drawn(
    seed: int,
    rule: str = "soft",
    *,
    models: int = 5,
    servers: int = 3,
    samples: int = 25,
    classes: int = 3,
    **more: object,
) -> SelectionInstance:
    """Random scores, sizes, capacities and failures."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=samples)
    scores = rng.dirichlet(np.ones(classes), size=(models, samples))
    scores[:, np.arange(samples), labels] += rng.uniform(0, 0.6, (models, samples))
    scores /= scores.sum(axis=2, keepdims=True)
    pool = Pool(
        [f"m{m}" for m in range(models)],
        rng.integers(20, 100, models).astype(float).tolist(),
        rng.uniform(1, 10, models).round(2).tolist(),
        rng.uniform(1, 10, models).round(2).tolist(),
    )
    fleet = Fleet(
        rng.integers(40, 160, servers).astype(float).tolist(),
        rng.uniform(0, 0.5, servers).round(3).tolist(),
        [f"site-{s % 2}" for s in range(servers)],
    )
    vote = rng.uniform(0.1, 1, models).round(2) if rule == "weighted" else None
    held = (scores[:, ::-1], labels[::-1])
    return from_predictions(
        pool,
        fleet,
        (scores, labels),
        held,
        rule=rule,
        vote_weight=vote,
        **more,  # type: ignore[arg-type]
    )


def placements(instance: SelectionInstance, number: int = 0) -> Iterator[Placement]:
    """Every placement of one application that breaks no limit, the empty one first."""
    task, servers, rules = instance.tasks[number], instance.servers, instance.rules
    most = min(task.members_max, len(servers) * rules.members_per_server)
    for size in range(most + 1):
        for members in combinations(task.pairs, size):
            if has_room(task, members, servers.capacity_mb) and not faults(
                task, servers, rules, members
            ):
                yield members


def error(instance: SelectionInstance, chosen: Sequence[Placement]) -> float:
    """Mean error of placements of all applications."""
    share = instance.rules.expected_share
    return sum(
        task.share * (1 - validated(task, instance.servers, instance.rules, members).mixed(share))
        for task, members in zip(instance.tasks, chosen, strict=True)
    )


def brute_force(instance: SelectionInstance) -> float:
    """Least mean error of all selections, one after the other."""
    own = [list(placements(instance, n)) for n in range(len(instance.tasks))]
    servers = instance.servers
    best = np.inf
    for chosen in product(*own):
        used = sum(
            task.memory(members, len(servers))
            for task, members in zip(instance.tasks, chosen, strict=True)
        )
        if np.all(used <= servers.capacity_mb + 1e-6):
            best = min(best, error(instance, chosen))
    return best


def accuracy(rule: str, scores: FloatArray, labels: IntArray, members: Sequence[int]) -> float:
    """Accuracy of a set, sample by sample and class by class, as the rules are told in words."""
    right = 0
    alone = [int(np.sum(scores[m].argmax(axis=1) == labels)) for m in members]
    if rule == "best":
        return max(alone) / len(labels)
    for i, y in enumerate(labels):
        said = [int(scores[m, i].argmax()) for m in members]
        hits = sum(answer == y for answer in said)
        if rule == "cover":
            right += hits > 0
        elif rule == "majority":
            right += hits > len(members) / 2
        elif rule == "plurality":
            others = [said.count(c) for c in range(scores.shape[2]) if c != y]
            right += hits > max(others)
        else:
            total = [sum(float(scores[m, i, c]) for m in members) for c in range(scores.shape[2])]
            right += all(total[y] > total[c] for c in range(len(total)) if c != y)
    return right / len(labels)
