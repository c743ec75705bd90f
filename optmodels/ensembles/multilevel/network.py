r"""The ensemble as one network: members, a head for every subset of them, loss and gradient.

Member i encodes a sample x by one hidden layer of its own, and every non-empty subset S of the
members has a linear head on what its members encoded, side by side:

.. math::
    z_i = \max(0, W_i^\top x + b_i), \qquad
    o_S = \sum_{i \in S} U_{S,i}^\top z_i + c_S, \qquad p_S = \mathrm{softmax}(o_S)

The head of a single member is its *exit*. A linear head on members side by side is a sum over
members: each server may send the C numbers :math:`U_{S,i}^\top z_i` instead of its :math:`H_i`
features, in any order. All members are trained at once on the multi-level loss of MEL,

.. math:: L = \sum_S \lambda_S \frac{1}{B} \sum_b -\log p_S[b, y_b]

so that with :math:`\Delta_S = \lambda_S (P_S - \text{onehot}(y)) / B`

.. math::
    \partial U_{S,i} = Z_i^\top \Delta_S, \quad \partial c_S = 1^\top \Delta_S, \quad
    \partial Z_i = \sum_{S \ni i} \Delta_S U_{S,i}^\top, \quad
    \partial A_i = \partial Z_i \odot [A_i > 0], \quad
    \partial W_i = X^\top \partial A_i, \quad \partial b_i = 1^\top \partial A_i

In the code all members stand side by side in one matrix (columns of `W`), and all heads in another
one (`U`), which holds zeros where a head has no such member: `mask` says where there is a
parameter. So one matrix product serves all members, and another one all heads.

With heads "average" nothing is trained for subsets: each member has its exit, and a subset answers
by the mean of the exits' scores, :math:`o_S = \frac{1}{|S|} \sum_{i \in S} o_i`. The loss is the
same.

The loss over subsets and the heads are the paper's; its members are prefixes of large networks. The
small network, the matrix form and the variant "average" are ours; the gradient is checked against
finite differences in tests/ensembles/multilevel/test_network.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from optmodels.ensembles.multilevel.samples import IntArray, Seed, stream
from optmodels.ensembles.multilevel.subsets import equal_shares, sizes, subsets
from optmodels.errors import Flaw, InputError, UsageError
from optmodels.policy import FloatArray

Mask = NDArray[np.bool_]

HEADS = ("trained", "average")
#: Names of the parameter blocks: encoders (weights, offsets) and heads (weights, offsets).
BLOCKS = ("W", "b", "U", "c")


@dataclass(frozen=True)
class Design:
    """Shape of an ensemble.

    Attributes
    ----------
    features
        Numbers per sample.
    classes
        Classes to tell apart.
    hidden
        Hidden units of each member; they may differ.
    heads
        "trained": every subset has a head of its own. "average": subsets average their exits.
    coarse
        Coarse class of every class, from 0, if exits are to tell only those (the hierarchical
        labels of the paper: coarse upstream, fine downstream). Needs trained heads.
    """

    features: int
    classes: int
    hidden: tuple[int, ...]
    heads: Literal["trained", "average"] = "trained"
    coarse: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", tuple(int(h) for h in self.hidden))
        flaws = []
        for name, value, least in (("features", self.features, 1), ("classes", self.classes, 2)):
            if value < least:
                flaws.append(Flaw("is too few", field=name, value=value, allowed=f">= {least}"))
        if not self.hidden or min(self.hidden) < 1:
            flaws.append(Flaw("leaves a member without units", field="hidden", value=self.hidden))
        if self.heads not in HEADS:
            raise UsageError.unknown("kind of heads", self.heads, HEADS)
        if self.coarse is not None:
            object.__setattr__(self, "coarse", tuple(int(c) for c in self.coarse))
            used = set(self.coarse)
            if len(self.coarse) != self.classes or used != set(range(len(used))):
                flaws.append(
                    Flaw(
                        "does not map every class to a coarse one",
                        field="coarse",
                        value=self.coarse,
                        allowed=f"{self.classes} whole numbers that leave none out from 0",
                    )
                )
            if self.heads == "average":
                flaws.append(
                    Flaw(
                        "cannot be averaged with fine answers", field="coarse", fix="heads trained"
                    )
                )
        if flaws:
            raise InputError(flaws, "Design of a multi-level ensemble")
        # Refuses what has too many subsets.
        subsets(self.members)

    @property
    def members(self) -> int:
        """Number of members."""
        return len(self.hidden)

    @cached_property
    def subsets(self) -> tuple[frozenset[int], ...]:
        """All subsets, in the order of outputs."""
        return subsets(self.members)

    @cached_property
    def owner(self) -> IntArray:
        """Member that a hidden unit belongs to."""
        return np.repeat(np.arange(self.members), self.hidden)

    @cached_property
    def groups(self) -> tuple[frozenset[int], ...]:
        """Members that each trained head reads."""
        if self.heads == "trained":
            return self.subsets
        return tuple(frozenset((m,)) for m in range(self.members))

    @cached_property
    def mixing(self) -> FloatArray | None:
        """Share of each trained head in the scores of each subset; None where each has its own."""
        return None if self.heads == "trained" else equal_shares(self.members)

    @cached_property
    def told(self) -> Mask:
        """Which classes each head can name, shape (heads, classes)."""
        told = np.ones((len(self.groups), self.classes), dtype=bool)
        if self.coarse is not None:
            single = np.array([len(group) == 1 for group in self.groups])
            told[np.ix_(single, np.arange(self.classes) > max(self.coarse))] = False
        return told

    @cached_property
    def mask(self) -> Mask:
        """Where the matrix of all heads has a parameter, shape (units, heads × classes)."""
        reads = np.array([[m in group for m in range(self.members)] for group in self.groups])
        units = reads[:, self.owner].T[:, :, None] & self.told[None]
        return units.reshape(len(self.owner), -1)

    @property
    def parameters(self) -> int:
        """Number of parameters: M (dH + H) + Σ_S (|S| H C + C) where all members are alike."""
        encoders = (self.features + 1) * len(self.owner)
        return int(encoders + self.mask.sum() + self.told.sum())

    def labels_of(self, labels: IntArray) -> IntArray:
        """Right answer of every subset to every sample, shape (subsets, samples)."""
        wanted = np.tile(labels, (len(self.subsets), 1))
        if self.coarse is not None:
            wanted[sizes(self.members) == 1] = np.asarray(self.coarse)[labels]
        return wanted

    def of_member(self, member: int) -> Design:
        """Shape of one member with its exit."""
        return replace(self, hidden=(self.hidden[member],))


@dataclass(frozen=True)
class Hinge:
    """Penalty on exits that say the same, for two members.

    max(0, margin - (scale / B) Σ_b ‖o_1b - o_2b‖²) on the scores of the two exits. The authors have
    it as an option; it is off unless asked for.
    """

    margin: float = 4.0
    scale: float = 0.01


@dataclass(frozen=True, eq=False)
class Network:
    """An ensemble with its parameters.

    Attributes
    ----------
    design
        Its shape.
    W, b
        Encoders of all members side by side, shapes (features, units) and (units,).
    U, c
        All heads side by side, shapes (units, heads × classes) and (heads × classes,).
    """

    design: Design
    W: FloatArray
    b: FloatArray
    U: FloatArray
    c: FloatArray

    @classmethod
    def initial(cls, design: Design, *, seed: Seed) -> Network:
        """Random parameters after He: normal, variance 2 / inputs; offsets zero.

        Every encoder and every head has a stream of its own: member 0 begins alike whoever else is
        in the ensemble.
        """
        blocks = [
            stream(seed, 0, m).standard_normal((design.features, h))
            for m, h in enumerate(design.hidden)
        ]
        W: FloatArray = np.concatenate(blocks, axis=1) * np.sqrt(2 / design.features)
        U: FloatArray = np.zeros(design.mask.shape)
        for g, group in enumerate(design.groups):
            number = sum(1 << m for m in group)
            units = np.isin(design.owner, list(group))
            rng = stream(seed, 1, number)
            drawn = rng.standard_normal((int(units.sum()), design.classes))
            columns = slice(g * design.classes, (g + 1) * design.classes)
            U[units, columns] = drawn * np.sqrt(2 / units.sum())
        U *= design.mask
        return cls(design, W, np.zeros(W.shape[1]), U, np.zeros(U.shape[1]))

    @property
    def blocks(self) -> dict[str, FloatArray]:
        """The parameter blocks by name."""
        return {name: getattr(self, name) for name in BLOCKS}

    # -------------------------------------------------------------------------------- prediction
    def scores(self, inputs: FloatArray) -> FloatArray:
        """Scores before the softmax, shape (subsets, samples, classes)."""
        return self._forward(inputs)[2]

    def probabilities(self, inputs: FloatArray) -> FloatArray:
        """What every subset says, shape (subsets, samples, classes)."""
        return np.exp(log_softmax(self.scores(inputs)))

    def _forward(self, inputs: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        design = self.design
        if inputs.ndim != 2 or inputs.shape[1] != design.features:
            raise UsageError(
                f"The ensemble reads {design.features} features; the inputs have the shape "
                f"{inputs.shape}."
            )
        before = inputs @ self.W + self.b
        encoded = np.maximum(before, 0.0)
        heads = (encoded @ self.U + self.c).reshape(len(inputs), -1, design.classes)
        scores = np.ascontiguousarray(np.moveaxis(heads, 1, 0))
        if design.mixing is not None:
            scores = np.tensordot(design.mixing, scores, axes=1)
        elif not design.told.all():
            scores = np.where(design.told[:, None, :], scores, -np.inf)
        return before, encoded, scores

    # ---------------------------------------------------------------------------------- learning
    def loss(
        self,
        inputs: FloatArray,
        labels: IntArray,
        weights: FloatArray,
        hinge: Hinge | None = None,
    ) -> float:
        """The multi-level loss; `weights` of the subsets."""
        return self.loss_and_gradient(inputs, labels, weights, hinge)[0]

    def loss_and_gradient(
        self,
        inputs: FloatArray,
        labels: IntArray,
        weights: FloatArray,
        hinge: Hinge | None = None,
    ) -> tuple[float, dict[str, FloatArray]]:
        """The multi-level loss and its derivatives by parameter block."""
        design, batch = self.design, len(inputs)
        before, encoded, scores = self._forward(inputs)
        logs = log_softmax(scores)
        wanted = design.labels_of(labels)
        places = (np.arange(len(wanted))[:, None], np.arange(batch)[None, :], wanted)
        loss = float(weights @ -logs[places].mean(axis=1))
        delta = np.exp(logs)
        delta[places] -= 1.0
        delta *= (weights / batch)[:, None, None]
        if hinge is not None:
            loss += self._push_apart(hinge, scores, delta)
        if design.mixing is not None:
            delta = np.tensordot(design.mixing.T, delta, axes=1)
        flat = np.moveaxis(delta, 0, 1).reshape(batch, -1)
        back = (flat @ self.U.T) * (before > 0)
        return loss, {
            "W": inputs.T @ back,
            "b": back.sum(axis=0),
            "U": (encoded.T @ flat) * design.mask,
            "c": flat.sum(axis=0),
        }

    def _push_apart(self, hinge: Hinge, scores: FloatArray, delta: FloatArray) -> float:
        """Value of the hinge; its derivative is added to `delta`, an array of this call's own."""
        if self.design.members != 2 or self.design.coarse is not None:
            raise UsageError(
                "The hinge on diversity is for two members that tell the same classes."
            )
        apart = scores[0] - scores[1]
        value = hinge.margin - hinge.scale * float((apart**2).sum()) / len(apart)
        if value <= 0:
            return 0.0
        slope = 2 * hinge.scale / len(apart) * apart
        delta[0] -= slope
        delta[1] += slope
        return value

    # ------------------------------------------------------------------------- parts and wholes
    def member(self, m: int) -> Network:
        """One member with its exit, as an ensemble of its own."""
        design = self.design.of_member(m)
        units = self.design.owner == m
        head = self.design.groups.index(frozenset((m,)))
        columns = slice(head * design.classes, (head + 1) * design.classes)
        return Network(
            design,
            self.W[:, units].copy(),
            self.b[units].copy(),
            self.U[units, columns].copy(),
            self.c[columns].copy(),
        )

    def with_members(self, members: Sequence[Network]) -> Network:
        """The same ensemble with encoders and exits taken from other networks.

        Raises
        ------
        UsageError
            The shapes do not match.
        """
        design = self.design
        wanted = [design.of_member(m) for m in range(design.members)]
        if [one.design for one in members] != wanted:
            raise UsageError("The members do not have the shapes that the ensemble gives them.")
        W, b, U, c = (block.copy() for block in self.blocks.values())
        for m, one in enumerate(members):
            units = design.owner == m
            head = design.groups.index(frozenset((m,)))
            columns = slice(head * design.classes, (head + 1) * design.classes)
            W[:, units], b[units], U[units, columns], c[columns] = one.W, one.b, one.U, one.c
        return Network(design, W, b, U, c)

    def permuted(self, order: Sequence[int]) -> Network:
        """The same ensemble with its members in another order: new member k is member `order[k]`.

        Raises
        ------
        UsageError
            `order` does not name every member once.
        """
        design, order = self.design, [int(m) for m in order]
        if sorted(order) != list(range(design.members)):
            raise UsageError(f"{order} is no order of {design.members} members.")
        new = replace(design, hidden=tuple(design.hidden[m] for m in order))
        units = np.concatenate([np.flatnonzero(design.owner == m) for m in order])
        heads = [design.groups.index(frozenset(order[k] for k in group)) for group in new.groups]
        columns = np.concatenate(
            [np.arange(h * design.classes, (h + 1) * design.classes) for h in heads]
        )
        return Network(
            new, self.W[:, units], self.b[units], self.U[np.ix_(units, columns)], self.c[columns]
        )

    def share_of(self, subset: frozenset[int]) -> dict[str, Mask]:
        """Where the parameters of one subset's own head are, by block."""
        found = {name: np.zeros(block.shape, dtype=bool) for name, block in self.blocks.items()}
        if subset in self.design.groups:
            head = self.design.groups.index(subset)
            columns = slice(head * self.design.classes, (head + 1) * self.design.classes)
            found["U"][:, columns] = self.design.mask[:, columns]
            found["c"][columns] = self.design.told[head]
        return found

    def encoder_of(self, m: int) -> dict[str, Mask]:
        """Where the parameters of one member's encoder are, by block."""
        found = {name: np.zeros(block.shape, dtype=bool) for name, block in self.blocks.items()}
        found["W"][:, self.design.owner == m] = True
        found["b"][self.design.owner == m] = True
        return found


def log_softmax(scores: FloatArray) -> FloatArray:
    """Logarithms of the softmax over the last axis."""
    shifted = scores - scores.max(axis=-1, keepdims=True)
    found: FloatArray = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return found
