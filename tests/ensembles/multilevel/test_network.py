"""The network: its gradient, its size, its parts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.ensembles.multilevel.network import BLOCKS, Design, Hinge, Network
from optmodels.ensembles.multilevel.subsets import level_weights, membership, sizes, subsets
from optmodels.errors import InputError, UsageError

DESIGNS = {
    "one member": Design(5, 3, (4,)),
    "two members": Design(5, 3, (4, 4)),
    "three members of many sizes": Design(5, 4, (3, 1, 5)),
    "averaged exits": Design(5, 3, (4, 2, 3), heads="average"),
    "coarse exits": Design(5, 4, (3, 4), coarse=(0, 0, 1, 1)),
}


def batch(design, *, count=17, seed=3):
    """Random inputs and labels."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, design.features)), rng.integers(design.classes, size=count)


def shaken(design, seed=1):
    """A network whose offsets are not zero either, and weights of its subsets."""
    rng = np.random.default_rng(seed)
    start = Network.initial(design, seed=seed)
    c = rng.standard_normal(start.c.shape) * design.told.ravel()
    network = Network(design, start.W, rng.standard_normal(start.b.shape), start.U, c)
    return network, rng.random(len(design.subsets)) + 0.1


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize(
    ("name", "hinge"),
    [
        *((name, None) for name in DESIGNS),
        ("two members", Hinge(margin=30.0, scale=0.7)),
        ("two members", Hinge(margin=0.01, scale=0.7)),
    ],
)
def test_gradient_is_that_of_finite_differences(name, block, hinge):
    """Every entry of every block agrees with central differences to 1e-6.

    A forgotten subset in dZ, a weight that is not divided by the batch, or a missing [A > 0] all
    show here.
    """
    design = DESIGNS[name]
    network, weights = shaken(design)
    inputs, labels = batch(design)
    loss, gradients = network.loss_and_gradient(inputs, labels, weights, hinge)
    gradient = gradients[block]
    # A large margin is in force, a small one is not.
    assert (loss > network.loss(inputs, labels, weights)) == (
        hinge is not None and hinge.margin > 1
    )
    values = getattr(network, block)
    free = {"U": design.mask, "c": design.told.ravel()}.get(block, np.ones(values.shape, bool))
    assert np.all(gradient[~free] == 0)
    step = 1e-6
    for place in np.argwhere(free):
        at, kept = tuple(place), values[tuple(place)]
        values[at] = kept + step
        above = network.loss(inputs, labels, weights, hinge)
        values[at] = kept - step
        below = network.loss(inputs, labels, weights, hinge)
        values[at] = kept
        assert gradient[at] == pytest.approx((above - below) / (2 * step), rel=1e-6, abs=1e-8)


def test_the_loss_by_hand():
    """One unit, two members, one sample: the sum over subsets of weighted cross-entropies."""
    design = Design(1, 2, (1, 1))
    U = np.array([[1.0, 0.0, 0.0, 0.0, 2.0, 0.0], [0.0, 0.0, 0.0, 3.0, 0.0, 1.0]])
    network = Network(design, np.array([[1.0, 2.0]]), np.zeros(2), U, np.zeros(6))
    # z = (1, 2): scores {0}: (1, 0), {1}: (0, 6), {0,1}: (2, 2).
    assert network.scores(np.array([[1.0]]))[:, 0].tolist() == [[1.0, 0.0], [0.0, 6.0], [2.0, 2.0]]
    loss = network.loss(np.array([[1.0]]), np.array([0]), np.array([1.0, 10.0, 100.0]))
    expected = np.log1p(np.exp(-1)) + 10 * np.log1p(np.exp(6)) + 100 * np.log(2)
    assert loss == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("design", "parameters"),
    [
        (Design(64, 10, (64,)), 4810),
        (Design(64, 10, (6, 6, 6)), 1960),
        (Design(64, 10, (8, 8, 8)), 2590),
        (Design(64, 10, (11, 11)), 1900),
        (Design(64, 10, (8, 8, 8), heads="average"), 1830),
    ],
    ids=str,
)
def test_golden_sizes(design, parameters):
    """Sizes of the reference and of the ensembles that the benchmark trains."""
    assert design.parameters == parameters


@settings(deadline=None, derandomize=True, max_examples=30)
@given(
    features=st.integers(1, 9),
    classes=st.integers(2, 6),
    units=st.integers(1, 7),
    members=st.integers(1, 4),
)
def test_size_by_the_formula(features, classes, units, members):
    """M (dH + H) + Σ_S (|S| H C + C) parameters, and as many places that may change."""
    design = Design(features, classes, (units,) * members)
    heads = sum(len(s) * units * classes + classes for s in subsets(members))
    assert design.parameters == members * (features * units + units) + heads
    network = Network.initial(design, seed=0)
    assert design.parameters == sum(
        network.share_of(s)[name].sum() for s in design.subsets for name in BLOCKS
    ) + sum(network.encoder_of(m)[name].sum() for m in range(members) for name in BLOCKS)


@pytest.mark.parametrize("heads", ["trained", "average"])
def test_permuted_members_permute_the_answers(heads):
    """Members in another order give the same answers for the same sets."""
    network, _ = shaken(Design(5, 3, (4, 2, 3), heads=heads))
    order = (2, 0, 1)
    inputs, _ = batch(network.design)
    before, after = network.scores(inputs), network.permuted(order).scores(inputs)
    for place, subset in enumerate(network.design.subsets):
        old = network.design.subsets.index(frozenset(order[k] for k in subset))
        np.testing.assert_allclose(after[place], before[old], rtol=1e-12, atol=1e-13)


def test_a_lost_member_does_not_matter_to_a_subset_without_it():
    """Answers of subsets without a member stay bit by bit whatever becomes of that member."""
    network, _ = shaken(Design(5, 3, (4, 2, 3)))
    inputs, _ = batch(network.design)
    broken = Network(
        network.design, np.where(network.design.owner == 1, 1e6, network.W), network.b, network.U,
        network.c,
    )  # fmt: skip
    before, after = network.scores(inputs), broken.scores(inputs)
    same = [np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
    assert same == [1 not in subset for subset in network.design.subsets]


def test_averaged_exits_are_means_of_exits():
    """A subset's scores are the mean of its members' own, with no parameter beyond the exits."""
    network, _ = shaken(DESIGNS["averaged exits"])
    inputs, _ = batch(network.design)
    scores = network.scores(inputs)
    own = np.stack([network.member(m).scores(inputs)[0] for m in range(3)])
    for place, subset in enumerate(network.design.subsets):
        np.testing.assert_allclose(scores[place], own[sorted(subset)].mean(axis=0), rtol=1e-12)


def test_members_taken_out_and_put_back():
    """A member alone says what its exit says; other networks' members can be put in."""
    network, _ = shaken(Design(5, 3, (4, 2)))
    other, _ = shaken(Design(5, 3, (4, 2)), seed=9)
    inputs, _ = batch(network.design)
    np.testing.assert_array_equal(network.member(1).scores(inputs)[0], network.scores(inputs)[1])
    mixed = network.with_members([other.member(0), network.member(1)])
    np.testing.assert_array_equal(mixed.scores(inputs)[0], other.scores(inputs)[0])
    np.testing.assert_array_equal(mixed.scores(inputs)[1], network.scores(inputs)[1])
    with pytest.raises(UsageError, match="shapes"):
        network.with_members([other.member(1), other.member(0)])


def test_coarse_exits_never_name_a_fine_class():
    """Exits tell coarse classes only; what they are judged by is coarse, too."""
    network, _ = shaken(DESIGNS["coarse exits"])
    inputs, labels = batch(network.design)
    told = network.probabilities(inputs)
    assert np.all(told[:2, :, 2:] == 0)
    assert np.all(told[2] > 0)
    np.testing.assert_allclose(told.sum(axis=2), 1, rtol=1e-12)
    wanted = network.design.labels_of(labels)
    np.testing.assert_array_equal(wanted[0], labels // 2)
    np.testing.assert_array_equal(wanted[2], labels)


def test_a_member_begins_alike_in_every_ensemble():
    """Encoder and exit of member 0 do not depend on how many others there are, nor equal theirs."""
    one, three = Design(5, 3, (4,)), Design(5, 3, (4, 4, 4))
    alone, among = Network.initial(one, seed=5), Network.initial(three, seed=5).member(0)
    for name in BLOCKS:
        np.testing.assert_array_equal(getattr(alone, name), getattr(among, name))
    others = Network.initial(three, seed=5).member(1)
    assert not np.any(others.W == alone.W)
    assert not np.any(others.U == alone.U)


def test_order_and_weights_of_subsets():
    """Subsets by number; weights by size, adding up to one unless asked otherwise."""
    assert [sorted(s) for s in subsets(3)] == [[0], [1], [0, 1], [2], [0, 2], [1, 2], [0, 1, 2]]
    assert membership(2).tolist() == [[True, False], [False, True], [True, True]]
    assert sizes(3).tolist() == [1, 1, 2, 1, 2, 2, 3]
    assert level_weights(2, [1, 2]).tolist() == [0.25, 0.25, 0.5]
    assert level_weights(3, [0, 0, 1], normalised=False).tolist() == [0, 0, 0, 0, 0, 0, 1]


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ({"features": 0, "hidden": (0,)}, "2 problems"),
        ({"classes": 1}, "too few"),
        ({"hidden": ()}, "without units"),
        ({"coarse": (0, 2, 2)}, "coarse"),
        ({"coarse": (0, 1)}, "coarse"),
        ({"coarse": (0, 0, 1), "heads": "average"}, "averaged"),
    ],
)
def test_impossible_designs(shape, words):
    """What cannot be built is refused, all flaws at once."""
    with pytest.raises(InputError, match=words):
        Design(**{"features": 4, "classes": 3, "hidden": (2, 2), **shape})


def test_impossible_questions():
    """Unknown heads, too many members, wrong inputs, a hinge for three, no order, no weights."""
    with pytest.raises(UsageError, match="averag"):
        Design(4, 3, (2,), heads="averaged")
    with pytest.raises(UsageError, match="1 to 10"):
        Design(4, 3, (1,) * 11)
    network = Network.initial(Design(4, 3, (2, 2, 2)), seed=0)
    with pytest.raises(UsageError, match="4 features"):
        network.scores(np.zeros((2, 5)))
    with pytest.raises(UsageError, match="two members"):
        network.loss(np.zeros((2, 4)), np.array([0, 1]), np.ones(7), Hinge())
    with pytest.raises(UsageError, match="no order"):
        network.permuted((0, 0, 1))
    for levels in ([1, 1], [0, 0, 0], [1, -1, 1], [1, float("nan"), 1]):
        with pytest.raises(InputError, match="levels"):
            level_weights(3, levels)
