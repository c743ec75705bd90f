"""A pool of 24 models of scikit-learn, fitted on its bundled digits.

Logistic regressions on the whole image and on halves of it, discriminant analyses, trees, forests,
neighbours, a support vector machine and small networks: from some kilobytes to some megabytes, and
from weak to strong. Noise is drawn once and added to all pixels. Sizes are those of the pickles,
and so depend on the version of scikit-learn.
"""

from __future__ import annotations

import pickle
import time
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from _harness import MissingDataError
from numpy.typing import NDArray

from optmodels.ensembles.selection.pool import Pool

NOISE = 0.35
"""Standard deviation of the noise, of pixels between 0 and 1."""
PARTS = (0.6, 0.2, 0.2)
"""Shares of the samples: to fit, to select, to report."""
_TIMED = 30

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Fitted:
    """A fitted pool, and what it says."""

    pool: Pool
    validation: tuple[FloatArray, IntArray]
    holdout: tuple[FloatArray, IntArray]


class Seen:
    """A model that sees some of the pixels, and turns decision values into scores."""

    def __init__(self, model: Any, pixels: IntArray | None = None) -> None:
        self.model = model
        self.pixels = pixels

    def fit(self, images: FloatArray, labels: IntArray) -> None:
        """Fit on what it sees."""
        self.model.fit(self._seen(images), labels)

    def scores(self, images: FloatArray) -> FloatArray:
        """(samples, classes): probabilities, or a softmax of decision values."""
        seen = self._seen(images)
        if hasattr(self.model, "predict_proba"):
            return np.asarray(self.model.predict_proba(seen), dtype=np.float64)
        values = np.asarray(self.model.decision_function(seen), dtype=np.float64)
        raised = np.exp(values - values.max(axis=1, keepdims=True))
        return raised / raised.sum(axis=1, keepdims=True)

    def _seen(self, images: FloatArray) -> FloatArray:
        return images if self.pixels is None else images[:, self.pixels]


def models(seed: int) -> dict[str, Seen]:
    """The 24 models, not yet fitted.

    Raises
    ------
    MissingDataError
        scikit-learn is not installed.
    """
    try:
        from sklearn.discriminant_analysis import (
            LinearDiscriminantAnalysis,
            QuadraticDiscriminantAnalysis,
        )
        from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
        from sklearn.linear_model import LogisticRegression
        from sklearn.naive_bayes import GaussianNB
        from sklearn.neighbors import KNeighborsClassifier
        from sklearn.neural_network import MLPClassifier
        from sklearn.svm import SVC
        from sklearn.tree import DecisionTreeClassifier
    except ImportError:
        raise MissingDataError(
            "scikit-learn is missing: this benchmark fits its models and reads its digits. Fix: "
            "pip install scikit-learn."
        ) from None
    pixels = np.arange(64).reshape(8, 8)
    halves = {
        "left": pixels[:, :4],
        "right": pixels[:, 4:],
        "top": pixels[:4],
        "bottom": pixels[4:],
        "even": pixels[::2],
        "odd": pixels[1::2],
    }

    def logistic(strength: float) -> Any:
        return LogisticRegression(C=strength, max_iter=500)

    found = {f"lr-{name}": Seen(logistic(1.0), own.ravel()) for name, own in halves.items()}
    found |= {
        "lr": Seen(logistic(1.0)),
        "lr-tight": Seen(logistic(0.01)),
        "lda": Seen(LinearDiscriminantAnalysis()),
        "qda": Seen(QuadraticDiscriminantAnalysis(reg_param=0.2)),
        "gnb": Seen(GaussianNB(var_smoothing=1e-2)),
        "svc": Seen(SVC(C=5.0)),
    }
    found |= {
        f"tree-{depth}": Seen(DecisionTreeClassifier(max_depth=depth, random_state=seed))
        for depth in (5, 10)
    }
    found |= {
        f"forest-{trees}": Seen(
            RandomForestClassifier(n_estimators=trees, max_depth=8, random_state=seed)
        )
        for trees in (10, 40)
    }
    found["extra-20"] = Seen(ExtraTreesClassifier(n_estimators=20, max_depth=7, random_state=seed))
    found |= {f"knn-{k}": Seen(KNeighborsClassifier(n_neighbors=k)) for k in (1, 3, 7)}
    found |= {
        f"mlp-{width}": Seen(
            MLPClassifier(hidden_layer_sizes=(width,), max_iter=150, random_state=seed)
        )
        for width in (4, 8, 16, 32)
    }
    return found


@lru_cache(maxsize=8)
def fitted(seed: int, noisy: bool) -> Fitted:
    """Fit the pool; the same arguments give the same pool."""
    own = models(seed)
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    rng = np.random.default_rng(seed)
    images = images / 16.0
    if noisy:
        images = images + rng.normal(0.0, NOISE, images.shape)
    order = rng.permutation(len(labels))
    cuts = np.cumsum([round(share * len(labels)) for share in PARTS[:2]])
    fit, select, report = np.split(order, cuts)
    memory, latency, scores = [], [], []
    for model in own.values():
        with warnings.catch_warnings():
            # A small network that has not converged is a weak model, and welcome.
            warnings.simplefilter("ignore")
            model.fit(images[fit], labels[fit])
            scores.append((model.scores(images[select]), model.scores(images[report])))
        memory.append(len(pickle.dumps(model.model)) / 1e6)
        latency.append(_milliseconds(model, images[select]))
    return Fitted(
        Pool(list(own), memory, latency),
        (np.stack([pair[0] for pair in scores]), labels[select].astype(np.int64)),
        (np.stack([pair[1] for pair in scores]), labels[report].astype(np.int64)),
    )


def _milliseconds(model: Seen, images: FloatArray) -> float:
    """Median time of one answer to one sample [ms]."""
    times = []
    for i in range(_TIMED):
        started = time.perf_counter()
        model.scores(images[i : i + 1])
        times.append(time.perf_counter() - started)
    return float(1000 * np.median(times))
