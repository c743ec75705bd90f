r"""Multi-level ensembles of convolutional members, trained with PyTorch (the extra "mel").

Importing this module imports torch; nothing else in the package does. A member is a prefix of a
convolutional network: layers of 3 × 3 convolution, batch normalisation and ReLU, with a 2 × 2
pooling after the second one. Its exit is a global average pooling, dropout and a linear layer. A
subset of members answers by a head on what they encoded side by side:

=============  ====================================================================================
head           what it does
=============  ====================================================================================
``linear``     pools each member's maps, dropout, one linear layer
``hidden``     the same with a hidden layer in between
``mixing``     a 1 × 1 convolution over the maps of all, batch normalisation, SiLU, pooling,
               dropout, one linear layer
=============  ====================================================================================

Exits, heads, dropout, loss and schedule are those of the authors' code (umassos/iobt25-demo), which
cuts members from EfficientNet and others after some block; the small members here are ours, for
images of a few pixels. Batches, noise, weights and tables are those of the NumPy version, so the
two can be held against each other: `multilevel` here and there is the same system.

The same seed gives the same parameters on the same machine. Torch's random state and number of
threads are left as they were: small members train fastest in one thread, which is the default.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from optmodels.ensembles.multilevel.samples import Samples, Seed, stream
from optmodels.ensembles.multilevel.subsets import level_weights, subsets
from optmodels.ensembles.multilevel.training import Training
from optmodels.errors import Flaw, InputError, MissingExtraError, SolverError, UsageError
from optmodels.policy import FloatArray

try:
    import torch
    from torch import nn
except ImportError:
    raise MissingExtraError(
        "torch", "mel", "Training convolutional multi-level ensembles"
    ) from None

HEADS = ("linear", "hidden", "mixing")
#: Images that are judged at once.
_CHUNK = 1024


@dataclass(frozen=True)
class ConvolutionalDesign:
    """Shape of a convolutional ensemble.

    Attributes
    ----------
    pixels
        Height and width of an image.
    classes
        Classes to tell apart.
    widths
        Channels of each layer, of each member; members may have different numbers of layers.
    channels
        Channels of an image.
    head
        Kind of the heads of two or more members: "linear", "hidden" or "mixing".
    head_units
        Units or channels of the heads that are not linear.
    dropout
        Share of the features that a head does not see in a training step.
    """

    pixels: tuple[int, int]
    classes: int
    widths: tuple[tuple[int, ...], ...]
    channels: int = 1
    head: Literal["linear", "hidden", "mixing"] = "linear"
    head_units: int = 160
    dropout: float = 0.3

    def __post_init__(self) -> None:
        if self.head not in HEADS:
            raise UsageError.unknown("head", self.head, HEADS)
        flaws = []
        if len(self.pixels) != 2 or min(self.pixels) < 2:
            size, allowed = self.pixels, "height and width, >= 2"
            flaws.append(Flaw("is no size", field="pixels", value=size, allowed=allowed))
        for name, count, least in (
            ("classes", self.classes, 2),
            ("channels", self.channels, 1),
            ("head_units", self.head_units, 1),
        ):
            if count < least:
                flaws.append(Flaw("is too few", field=name, value=count, allowed=f">= {least}"))
        if not self.widths or any(not one or min(one) < 1 for one in self.widths):
            flaws.append(Flaw("leaves a layer out", field="widths", value=self.widths))
        elif self.head == "mixing" and len({len(one) > 1 for one in self.widths}) > 1:
            what = "gives members maps of different sizes, which cannot be mixed"
            flaws.append(Flaw(what, field="widths", value=self.widths))
        if not 0 <= self.dropout < 1:
            share = self.dropout
            flaws.append(Flaw("is no share", field="dropout", value=share, allowed="[0, 1)"))
        if flaws:
            raise InputError(flaws, "Design of a convolutional ensemble")
        subsets(self.members)

    @property
    def members(self) -> int:
        """Number of members."""
        return len(self.widths)

    @cached_property
    def subsets(self) -> tuple[frozenset[int], ...]:
        """All subsets, in the order of outputs."""
        return subsets(self.members)

    @property
    def features(self) -> int:
        """Numbers per image."""
        return self.pixels[0] * self.pixels[1] * self.channels

    def pools(self, subset: frozenset[int]) -> bool:
        """Whether the head of a subset reads means of maps instead of the maps themselves."""
        return len(subset) == 1 or self.head != "mixing"

    def of_member(self, member: int) -> ConvolutionalDesign:
        """Shape of one member with its exit."""
        return replace(self, widths=(self.widths[member],))


class ConvolutionalEnsemble:
    """An ensemble with its parameters.

    Attributes
    ----------
    design
        Its shape.
    encoders
        Network of each member, from images to maps.
    heads
        Network of each subset, in the order of `subsets`, from its members' maps, or their means,
        side by side to scores; of a single member, its exit.
    threads
        Threads of torch while it computes; sums in another order differ in the last digits.
    """

    def __init__(self, design: ConvolutionalDesign, *, seed: Seed, threads: int = 1) -> None:
        self.design = design
        self.threads = threads
        self.encoders: list[Any] = []
        self.heads: dict[frozenset[int], Any] = {}
        for m, widths in enumerate(design.widths):
            with _seeded(seed, 0, m):
                self.encoders.append(_encoder(design.channels, widths))
        for subset in design.subsets:
            with _seeded(seed, 1, sum(1 << m for m in subset)):
                self.heads[subset] = _head(design, subset)

    @property
    def parameters(self) -> int:
        """Number of trained parameters."""
        return sum(p.numel() for part in self._parts() for p in part.parameters())

    def probabilities(self, inputs: FloatArray) -> FloatArray:
        """What every subset says, shape (subsets, samples, classes)."""
        self.training_of((), ())
        found = []
        with torch.no_grad(), _threads(self.threads):
            for start in range(0, len(inputs), _CHUNK):
                scores = self.scores(self.images(inputs[start : start + _CHUNK]))
                found.append(torch.softmax(scores, dim=2).numpy().astype(np.float64))
        return np.concatenate(found, axis=1)

    def images(self, inputs: FloatArray) -> Any:
        """Images as torch wants them.

        Raises
        ------
        UsageError
            The inputs have another number of features.
        """
        design = self.design
        if inputs.ndim != 2 or inputs.shape[1] != design.features:
            raise UsageError(
                f"The ensemble reads {design.features} features; the inputs have the shape "
                f"{inputs.shape}."
            )
        # Channels come last in arrays of images, and first in torch.
        shaped = inputs.reshape(len(inputs), *design.pixels, design.channels)
        return torch.from_numpy(np.moveaxis(shaped, 3, 1).astype(np.float32))

    def scores(self, images: Any) -> Any:
        """Scores of every subset before the softmax, a tensor (subsets, samples, classes)."""
        maps = [encoder(images) for encoder in self.encoders]
        # Members of different depths have maps of different sizes: pool before joining.
        means = [one.mean(dim=(2, 3)) for one in maps]
        told = []
        for subset, head in self.heads.items():
            parts = means if self.design.pools(subset) else maps
            told.append(head(torch.cat([parts[m] for m in sorted(subset)], dim=1)))
        return torch.stack(told)

    def training_of(self, encoders: Iterable[int], heads: Iterable[frozenset[int]]) -> list[Any]:
        """Let these parts learn and all others stand still; returns the parameters that learn."""
        learning = [self.encoders[m] for m in encoders] + [self.heads[s] for s in heads]
        for part in self._parts():
            # What stands still keeps the averages of its batch normalisation, too.
            part.train(any(part is one for one in learning))
        return [p for part in learning for p in part.parameters()]

    def take_member(self, m: int, other: ConvolutionalEnsemble) -> None:
        """Copy encoder and exit of the only member of another ensemble.

        Raises
        ------
        UsageError
            The shapes do not match.
        """
        if other.design != self.design.of_member(m):
            raise UsageError(f"The other ensemble is not shaped like member {m}.")
        self.encoders[m].load_state_dict(other.encoders[0].state_dict())
        self.heads[frozenset((m,))].load_state_dict(other.heads[frozenset((0,))].state_dict())

    def _parts(self) -> list[Any]:
        return [*self.encoders, *self.heads.values()]


def _encoder(channels: int, widths: Sequence[int]) -> Any:
    layers: list[Any] = []
    for number, (before, after) in enumerate(zip((channels, *widths), widths, strict=False)):
        layers += [
            nn.Conv2d(before, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
        ]
        if number == 1:
            layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


def _head(design: ConvolutionalDesign, subset: frozenset[int]) -> Any:
    width, units = sum(design.widths[m][-1] for m in subset), design.head_units
    if len(subset) == 1 or design.head == "linear":
        return nn.Sequential(nn.Dropout(design.dropout), nn.Linear(width, design.classes))
    if design.pools(subset):
        return nn.Sequential(
            nn.Dropout(design.dropout),
            nn.Linear(width, units),
            nn.ReLU(),
            nn.Dropout(design.dropout),
            nn.Linear(units, design.classes),
        )
    return nn.Sequential(
        nn.Conv2d(width, units, 1, bias=False),
        nn.BatchNorm2d(units),
        nn.SiLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(design.dropout),
        nn.Linear(units, design.classes),
    )


@contextmanager
def _seeded(seed: Seed, *names: int) -> Iterator[None]:
    """Let torch draw from one stream of a seed, and give its own state back afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(stream(seed, *names).integers(2**63 - 1)))
        yield


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Let torch compute in this many threads for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# --------------------------------------------------------------------------------------- learning
def train(
    ensemble: ConvolutionalEnsemble,
    samples: Samples,
    training: Training,
    *,
    seed: Seed,
    weights: FloatArray | None = None,
    encoders: Iterable[int] | None = None,
    heads: Iterable[frozenset[int]] | None = None,
) -> ConvolutionalEnsemble:
    """Train an ensemble, or parts of it, in place; the same ensemble is returned.

    Parameters
    ----------
    ensemble
        Where to begin.
    samples
        Images with their right classes, flattened.
    training
        The schedule.
    seed
        Of the order of samples, of the noise and of dropout.
    weights
        Weight of every subset in the loss; equal, adding up to 1, by default.
    encoders, heads
        Members and subsets whose parts learn; all by default.

    Raises
    ------
    UsageError
        The samples do not fit the ensemble.
    SolverError
        The loss is no longer a number.
    """
    design = ensemble.design
    if samples.classes != design.classes:
        raise UsageError(
            f"The ensemble tells {design.classes} classes, the samples have {samples.classes}."
        )
    given = level_weights(design.members) if weights is None else weights
    counted = [(k, float(w)) for k, w in enumerate(given) if w > 0]
    learning = ensemble.training_of(
        range(design.members) if encoders is None else encoders,
        design.subsets if heads is None else heads,
    )
    adam = torch.optim.Adam(
        learning, betas=(training.first_decay, training.second_decay), eps=training.floor
    )
    rates = training.rates(training.steps(len(samples)))
    with _seeded(seed, 4), _threads(ensemble.threads):
        for rate, (inputs, labels) in zip(rates, training.batches(samples, seed=seed), strict=True):
            for group in adam.param_groups:
                group["lr"] = float(rate)
            scores, wanted = ensemble.scores(ensemble.images(inputs)), torch.from_numpy(labels)
            loss = sum(w * nn.functional.cross_entropy(scores[k], wanted) for k, w in counted)
            adam.zero_grad()
            loss.backward()
            if not bool(torch.isfinite(loss)):
                raise SolverError(
                    "The loss is no longer a number: the learning rate "
                    f"{training.learning_rate:g} is too large. Fix: lower it."
                )
            adam.step()
    return ensemble
