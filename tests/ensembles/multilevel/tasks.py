"""Small tasks for the tests of multi-level ensembles."""

from __future__ import annotations

import pytest

from optmodels.ensembles.multilevel.network import Design
from optmodels.ensembles.multilevel.samples import Samples, noisy_copies, prototypes, split
from optmodels.ensembles.multilevel.systems import Task
from optmodels.ensembles.multilevel.training import Training


def small(hidden=(4, 4, 4), *, epochs=4, seed=0, **shape) -> tuple[Task, Samples]:
    """A task of a few hundred synthetic samples, and other samples to judge by."""
    learnt, judged = split(prototypes(samples=900, noise_sd=0.2, seed=7), (0.7, 0.3), seed=0)
    design = Design(learnt.features, learnt.classes, hidden, **shape)
    return Task(design, 24, learnt, Training(epochs=epochs, noise_sd=0.1), seed), judged


def digits() -> Samples:
    """Scikit-learn's bundled digits (8 × 8 pixels, 0 to 1)."""
    datasets = pytest.importorskip(
        "sklearn.datasets", reason="scikit-learn, whose digits this trains on, is not installed"
    )
    bundled = datasets.load_digits()
    return Samples.of(bundled.images / 16.0, bundled.target)


def noisy_digits(hidden, *, epochs=40, seed=0, noise_sd=0.35) -> tuple[Task, Samples]:
    """Digits under noise that makes capacity short, and noisy copies to judge by."""
    learnt, judged = split(digits(), (0.7, 0.3), seed=(seed, 8))
    judged = noisy_copies(judged, noise_sd=noise_sd, copies=5, seed=(seed, 9))
    task = Task(Design(64, 10, hidden), 64, learnt, Training(epochs, noise_sd=noise_sd), seed)
    return task, judged
