"""Samples to learn from and to judge by: arrays that somebody passes in, or prototypes with noise.

A small ensemble shows its worth only where capacity is short. Samples that a tiny network already
gets right tell nothing; noise that is drawn anew for every batch does (`Training.noise_sd`), and
`noisy_copies` judges by the same noise, the same for every system.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optmodels.errors import Flaw, InputError
from optmodels.policy import FloatArray

IntArray = NDArray[np.int64]

#: Seed of anything random: a number, or numbers that name one of several streams.
Seed = int | tuple[int, ...]


def stream(seed: Seed, *names: int) -> np.random.Generator:
    """Generator of one of several independent streams of a seed."""
    key = (seed,) if isinstance(seed, int) else tuple(seed)
    return np.random.default_rng(key + names)


@dataclass(frozen=True, eq=False)
class Samples:
    """Inputs with their right classes.

    Attributes
    ----------
    inputs
        Features, shape (samples, features).
    labels
        Right class of each sample, from 0.
    classes
        Number of classes.
    """

    inputs: FloatArray
    labels: IntArray
    classes: int

    @classmethod
    def of(cls, inputs: ArrayLike, labels: ArrayLike, classes: int | None = None) -> Samples:
        """Samples from arrays; images are flattened.

        Parameters
        ----------
        inputs
            Numbers, the first axis that of the samples.
        labels
            Right classes, whole numbers from 0.
        classes
            Number of classes; by default the largest label and one.

        Raises
        ------
        InputError
            The arrays do not fit each other, are empty, or are not finite.
        """
        x, y = np.asarray(inputs), np.asarray(labels)
        flaws: list[Flaw] = []
        numbers = x.dtype.kind in "biuf"
        if x.ndim < 2 or x.size == 0:
            flaws.append(
                Flaw("is no table of features", field="inputs", value=f"an array {x.shape}")
            )
        elif not numbers or not np.all(np.isfinite(x)):
            flaws.append(Flaw("hold something else than finite numbers", field="inputs"))
        if y.shape != x.shape[:1]:
            flaws.append(
                Flaw(
                    "does not give one class per sample",
                    field="labels",
                    value=f"an array {y.shape}",
                    allowed=f"shape {x.shape[:1]}",
                )
            )
        # Compared as integers of 64 bits: whole numbers beyond those are no classes.
        whole = y.dtype.kind in "iu" or (
            y.dtype.kind == "f" and bool(np.all(np.isfinite(y)) and np.all(y == np.floor(y)))
        )
        if not whole or (y.size and (y.min() < 0 or y.max() > 2**31)):
            flaws.append(Flaw("hold something else than whole numbers from 0", field="labels"))
        elif y.size:
            most = int(y.max()) + 1
            if classes is not None and classes < most:
                flaws.append(
                    Flaw(
                        "is too small for the labels",
                        field="classes",
                        value=classes,
                        allowed=f">= {most}",
                    )
                )
            classes = most if classes is None else classes
            if classes < 2:
                flaws.append(Flaw("leaves nothing to tell apart", field="classes", value=classes))
        if flaws:
            raise InputError(flaws, "Samples")
        flat = np.array(x, dtype=np.float64).reshape(len(x), -1)
        return cls(flat, y.astype(np.int64), int(classes or 0))

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def features(self) -> int:
        """Number of features of a sample."""
        return int(self.inputs.shape[1])

    def __getitem__(self, chosen: IntArray | slice) -> Samples:
        return Samples(self.inputs[chosen], self.labels[chosen], self.classes)


def split(samples: Samples, shares: Sequence[float], *, seed: Seed) -> tuple[Samples, ...]:
    """Divide samples at random into parts of these shares.

    Parameters
    ----------
    samples
        What is divided.
    shares
        Share of each part; they add up to 1.
    seed
        Seed of the draws, or a generator.

    Returns
    -------
    tuple of Samples
        One part per share.

    Raises
    ------
    InputError
        Shares are not positive, do not add up to 1, or leave a part empty.
    """
    given = np.asarray(shares, dtype=np.float64)
    if given.ndim != 1 or np.any(~(given > 0)) or abs(given.sum() - 1) > 1e-9:
        raise InputError(
            Flaw(
                "do not divide the samples",
                field="shares",
                value=shares,
                allowed="positive, adding up to 1",
            )
        )
    ends = np.round(np.cumsum(given) * len(samples)).astype(np.int64)
    starts = np.append(0, ends[:-1])
    if np.any(ends <= starts):
        raise InputError(Flaw("leave a part without samples", field="shares", value=shares))
    order = np.random.default_rng(seed).permutation(len(samples))
    return tuple(samples[order[a:b]] for a, b in zip(starts, ends, strict=True))


def noisy_copies(samples: Samples, *, noise_sd: float, copies: int = 1, seed: Seed) -> Samples:
    """The samples several times over, each with normal noise of its own.

    Parameters
    ----------
    samples
        What is copied; it is not changed.
    noise_sd
        Standard deviation of the noise on each feature.
    copies
        How often each sample comes.
    seed
        Seed of the draws, or a generator.

    Returns
    -------
    Samples
        As many times more samples as there are copies.

    Raises
    ------
    InputError
        The noise is negative or the number of copies is below one.
    """
    flaws = []
    if not 0 <= noise_sd < np.inf:
        flaws.append(Flaw("is no noise", field="noise_sd", value=noise_sd, allowed=">= 0"))
    if copies < 1:
        flaws.append(Flaw("leaves no samples", field="copies", value=copies, allowed=">= 1"))
    if flaws:
        raise InputError(flaws)
    inputs = np.tile(samples.inputs, (copies, 1))
    if noise_sd > 0:
        inputs = inputs + noise_sd * np.random.default_rng(seed).standard_normal(inputs.shape)
    return Samples(inputs, np.tile(samples.labels, copies), samples.classes)


def prototypes(
    *,
    samples: int = 1000,
    classes: int = 6,
    features: int = 24,
    styles: int = 3,
    noise_sd: float = 0.35,
    seed: Seed = 0,
) -> Samples:
    """Synthetic task: each class has several prototypes in the unit cube; samples are noisy ones.

    Several styles per class make the classes overlap in a way that no linear rule separates.

    Parameters
    ----------
    samples
        Number of samples.
    classes
        Number of classes.
    features
        Numbers of each sample.
    styles
        Prototypes of each class.
    noise_sd
        Standard deviation of the noise around a prototype.
    seed
        Seed of the draws, or a generator.

    Returns
    -------
    Samples
        Inputs and labels.
    """
    rng = np.random.default_rng(seed)
    centres = rng.random((classes, styles, features))
    labels = rng.integers(classes, size=samples)
    inputs = centres[labels, rng.integers(styles, size=samples)]
    inputs = inputs + noise_sd * rng.standard_normal(inputs.shape)
    return Samples.of(inputs, labels, classes)
