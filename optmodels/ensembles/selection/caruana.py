"""Ensemble selection from a library of models (Caruana et al., ICML 2004), and bagged.

Starting from nothing, or from the best few models, the model whose addition makes the averaged
scores most accurate is added, again and again; a model may be added more than once, and its weight
is how often it was. The answer is the prefix that was best. Bagging repeats this on random parts of
the library and adds up the weights, against overfitting the samples.

Nothing here knows of servers. Of the accuracy nothing is proven; what is of a smooth convex loss of
the averaged scores is another matter.
"""

from __future__ import annotations

import numpy as np

from optmodels.ensembles.selection.accuracies import IntArray
from optmodels.errors import UsageError
from optmodels.policy import FloatArray


def select(
    scores: FloatArray,
    labels: IntArray,
    *,
    rounds: int = 50,
    initial: int = 1,
    library: IntArray | None = None,
) -> FloatArray:
    """Weights of the models in the ensemble that was selected; they sum to one.

    Parameters
    ----------
    scores
        (candidates, samples, classes).
    labels
        Right class of each sample.
    rounds
        Models that are added, counting each time.
    initial
        Models to begin with: that many of the most accurate ones.
    library
        Numbers of the models that may be added; by default all.

    Raises
    ------
    UsageError
        A number is out of range.
    """
    chosen = np.arange(len(scores)) if library is None else np.asarray(library)
    if not 0 <= initial <= len(chosen) or rounds < 1:
        raise UsageError(
            f"initial is {initial} and rounds is {rounds}; allowed: 0 to {len(chosen)} models to "
            "begin with, and at least one round."
        )
    alone = np.array([accuracy_of(scores[m], labels) for m in chosen])
    # Ties go to the lowest number, so that the same samples give the same ensemble.
    order = chosen[np.argsort(-alone, kind="stable")]
    counts = np.zeros(len(scores))
    counts[order[:initial]] = 1
    total = scores[order[:initial]].sum(axis=0)
    best, most = counts.copy(), accuracy_of(total, labels) if initial else -1.0
    for _ in range(rounds):
        found = [accuracy_of(total + scores[m], labels) for m in chosen]
        added = int(chosen[int(np.argmax(found))])
        counts[added] += 1
        total = total + scores[added]
        if max(found) > most:
            best, most = counts.copy(), max(found)
    weights: FloatArray = best / best.sum()
    return weights


def bagged(
    scores: FloatArray,
    labels: IntArray,
    rng: np.random.Generator,
    *,
    bags: int = 20,
    fraction: float = 0.5,
    rounds: int = 50,
    initial: int = 1,
) -> FloatArray:
    """Mean weights over random parts of the library; they sum to one.

    Parameters
    ----------
    scores, labels, rounds, initial
        As for `select`.
    rng
        Draws the parts.
    bags
        How many of them.
    fraction
        Share of the library in each; at least one model.

    Raises
    ------
    UsageError
        A number is out of range.
    """
    if bags < 1 or not 0 < fraction <= 1:
        raise UsageError(
            f"bags is {bags} and fraction is {fraction:g}; allowed: at least one, and 0 to 1."
        )
    size = max(1, initial, round(fraction * len(scores)))
    weights = np.zeros(len(scores))
    for _ in range(bags):
        library = np.sort(rng.permutation(len(scores))[:size])
        weights += select(scores, labels, rounds=rounds, initial=initial, library=library)
    mean: FloatArray = weights / weights.sum()
    return mean


def accuracy_of(scores: FloatArray, labels: IntArray) -> float:
    """Share of the samples whose right class has the largest score; the lowest class of equals."""
    return float(np.mean(np.argmax(scores, axis=-1) == labels))
