"""Training: who learns what, from which seed, and whether anything is learned at all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from optmodels.ensembles.multilevel.network import BLOCKS, Design, Network
from optmodels.ensembles.multilevel.samples import Samples, noisy_copies, prototypes, split
from optmodels.ensembles.multilevel.subsets import level_weights
from optmodels.ensembles.multilevel.systems import multilevel
from optmodels.ensembles.multilevel.table import measure
from optmodels.ensembles.multilevel.training import Training, train
from optmodels.errors import InputError, SolverError, UsageError
from tests.ensembles.multilevel.tasks import small


def same(one, other):
    """Whether two networks have the same parameters, bit by bit."""
    return all(np.array_equal(getattr(one, n), getattr(other, n)) for n in BLOCKS)


def test_same_seed_same_parameters():
    """A seed decides everything, another seed decides otherwise; nothing given is changed."""
    task, _ = small(epochs=2)
    start = Network.initial(task.design, seed=0)
    kept = replace(start, **{name: block.copy() for name, block in start.blocks.items()})
    first = train(start, task.samples, task.training, seed=4)
    assert same(first, train(start, task.samples, task.training, seed=4))
    assert not same(first, train(start, task.samples, task.training, seed=5))
    assert same(start, kept)


def test_the_callers_random_state_is_left_alone():
    """Nothing draws from numpy's global generator."""
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    task, _ = small(epochs=1)
    multilevel(task)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_exits_alone_are_independent_training():
    """With weight on exits alone, each member learns what it learns on its own.

    Nothing is shared, so gradients decouple. A head of a pair that leaks into a member would show.
    """
    task, _ = small((4, 3, 5), epochs=3)
    start = Network.initial(task.design, seed=0)
    weights = level_weights(3, [1, 0, 0], normalised=False)
    together = train(start, task.samples, task.training, seed=1, weights=weights)
    for m in range(3):
        alone = train(start.member(m), task.samples, task.training, seed=1, weights=np.ones(1))
        for name in BLOCKS:
            np.testing.assert_allclose(
                getattr(together.member(m), name), getattr(alone, name), rtol=1e-9, atol=1e-12
            )


def test_normalised_weights_change_little():
    """Adam does not care how large a loss is, but for what keeps it from dividing by zero."""
    task, _ = small(epochs=2)
    start = Network.initial(task.design, seed=0)
    one = train(start, task.samples, task.training, seed=1)
    raw = level_weights(3, normalised=False)
    other = train(start, task.samples, task.training, seed=1, weights=raw)
    assert not same(one, other)
    np.testing.assert_allclose(one.W, other.W, atol=1e-3)


def test_permuted_members_learn_the_same():
    """Permuting the members and training commute, up to rounding."""
    task, _ = small((4, 2, 3), epochs=2)
    start, order = Network.initial(task.design, seed=0), (1, 2, 0)
    first = train(start, task.samples, task.training, seed=1).permuted(order)
    second = train(start.permuted(order), task.samples, task.training, seed=1)
    for name in BLOCKS:
        np.testing.assert_allclose(
            getattr(first, name), getattr(second, name), rtol=1e-6, atol=1e-8
        )


def test_what_is_not_free_stays():
    """Frozen parameters keep their values bit by bit; the free ones move."""
    task, _ = small(epochs=1)
    start = Network.initial(task.design, seed=0)
    free = start.share_of(frozenset((0, 2)))
    trained = train(start, task.samples, task.training, seed=0, free=free)
    for name in BLOCKS:
        moved = getattr(start, name) != getattr(trained, name)
        assert not np.any(moved & ~free[name])
        assert not free[name].any() or moved[free[name]].mean() > 0.9


def test_one_step_of_adam_by_hand():
    """The first step moves every parameter by the learning rate, against its slope's sign."""
    task, _ = small()
    samples = task.samples[slice(0, 64)]
    start = Network.initial(task.design, seed=0)
    schedule = Training(epochs=1, batch=64, learning_rate=0.01)
    moved = train(start, samples, schedule, seed=0)
    slopes = start.loss_and_gradient(samples.inputs, samples.labels, level_weights(3))[1]
    for name in BLOCKS:
        g = slopes[name]
        expected = getattr(start, name) - 0.01 * g / (np.abs(g) + 1e-8)
        np.testing.assert_allclose(getattr(moved, name), expected, rtol=1e-9, atol=1e-12)


def test_second_step_of_adam_by_hand():
    """Two steps on the whole set, with corrected averages and the cosine's rate."""
    task, _ = small()
    samples = task.samples[slice(0, 40)]
    start = Network.initial(task.design, seed=0)
    schedule = Training(epochs=2, batch=64, learning_rate=0.01)
    weights = level_weights(3)
    middle = train(start, samples, replace(schedule, epochs=1), seed=0)
    end = train(start, samples, schedule, seed=0)
    g1 = start.loss_and_gradient(samples.inputs, samples.labels, weights)[1]["W"]
    g2 = middle.loss_and_gradient(samples.inputs, samples.labels, weights)[1]["W"]
    m = (0.9 * 0.1 * g1 + 0.1 * g2) / (1 - 0.9**2)
    v = (0.999 * 0.001 * g1**2 + 0.001 * g2**2) / (1 - 0.999**2)
    # Two steps in all: the second one has half the rate.
    expected = middle.W - 0.005 * m / (np.sqrt(v) + 1e-8)
    np.testing.assert_allclose(end.W, expected, rtol=1e-6, atol=1e-9)


def test_rates_and_batches():
    """The cosine begins at the full rate and falls; every sample comes once per epoch."""
    schedule = Training(epochs=3, batch=8, learning_rate=0.1, noise_sd=0.0)
    rates = schedule.rates(10)
    assert rates[0] == 0.1
    assert rates[5] == pytest.approx(0.05)
    assert np.all(np.diff(rates) < 0)
    samples = Samples.of(np.arange(20.0)[:, None] * [1.0, 0.0], np.arange(20) % 2)
    seen = [inputs[:, 0] for inputs, _ in schedule.batches(samples, seed=0)]
    assert len(seen) == schedule.steps(20) == 9
    assert [len(one) for one in seen] == [8, 8, 4] * 3
    for epoch in range(3):
        np.testing.assert_array_equal(np.sort(np.concatenate(seen[3 * epoch :][:3])), np.arange(20))


def test_noise_is_new_in_every_batch_and_does_not_reorder():
    """Noise is drawn anew each epoch, and the order is that without noise."""
    samples = prototypes(samples=30, seed=1)
    plain = list(Training(epochs=2, batch=30).batches(samples, seed=3))
    noisy = list(Training(epochs=2, batch=30, noise_sd=0.2).batches(samples, seed=3))
    noise = [a - b for (a, _), (b, _) in zip(noisy, plain, strict=True)]
    assert not np.allclose(noise[0], noise[1])
    assert np.std(noise) == pytest.approx(0.2, rel=0.05)
    for (_, one), (_, other) in zip(noisy, plain, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_short_run_learns():
    """After seconds of training every subset is far above chance on samples it has not seen."""
    task, judged = small((6, 6, 6), epochs=30)
    table = measure(multilevel(task), judged)
    chance = 1 / judged.classes
    untrained = measure(Network.initial(task.design, seed=0), judged)
    assert untrained.full < 2 * chance
    assert table.full > 4 * chance
    assert table.one_down > 3.5 * chance
    assert table.alone > 2.5 * chance


def test_coarse_exits_learn():
    """Exits learn the coarse classes, the answer of both learns the fine ones."""
    task, judged = small((6, 6), epochs=30, coarse=(0, 0, 0, 1, 1, 1))
    table = measure(multilevel(task), judged, wanted=task.design.labels_of(judged.labels))
    assert table.alone > 0.7
    assert table.full > 0.5


def test_losses_that_are_no_numbers():
    """A learning rate without measure is named as the cause, not followed to the end."""
    task, _ = small(epochs=3)
    huge = Samples(task.samples.inputs * 1e200, task.samples.labels, task.samples.classes)
    start = Network.initial(task.design, seed=0)
    with np.errstate(all="ignore"), pytest.raises(SolverError, match="learning rate"):
        train(start, huge, Training(epochs=3, learning_rate=1e150), seed=0)


def test_impossible_training():
    """Schedules, samples, weights and masks that fit nothing are refused, with all flaws."""
    with pytest.raises(InputError, match="5 problems"):
        Training(epochs=0, batch=0, learning_rate=-1, noise_sd=-1, first_decay=1)
    task, _ = small()
    start = Network.initial(Design(3, 2, (2, 2)), seed=0)
    with pytest.raises(InputError, match="3 problems"):
        train(start, task.samples, task.training, seed=0, weights=np.ones(2))
    fitting = Network.initial(task.design, seed=0)
    with pytest.raises(UsageError, match="blocks"):
        train(fitting, task.samples, task.training, seed=0, free={"W": np.ones(1, bool)})


def test_samples_from_arrays():
    """Images are flattened; what is no sample is refused, with all flaws at once."""
    images = np.zeros((4, 2, 3))
    samples = Samples.of(images, [0, 1, 2, 0.0])
    assert (len(samples), samples.features, samples.classes) == (4, 6, 3)
    samples.inputs[:] = 1
    assert not images.any()
    for inputs, labels, classes in (
        (np.zeros(3), [0, 1, 0], None),
        (np.full((2, 2), np.nan), [0, 1], None),
        (np.array([["a"], ["b"]]), [0, 1], None),
        (np.zeros((2, 2)), [0, 1, 1], None),
        (np.zeros((2, 2)), [0, -1], None),
        (np.zeros((2, 2)), [0, 0.5], None),
        (np.zeros((2, 2)), ["a", "b"], None),
        (np.zeros((2, 2)), [0, 0], None),
        (np.zeros((2, 2)), [0, 4], 3),
        (np.zeros((0, 2)), [], None),
    ):
        with pytest.raises(InputError, match="Samples"):
            Samples.of(inputs, labels, classes)


def test_dividing_and_copying_samples():
    """Parts share no sample and leave none out; copies have noise of their own."""
    samples = Samples.of(np.arange(10.0)[:, None], np.arange(10) % 2)
    parts = split(samples, (0.5, 0.3, 0.2), seed=0)
    assert [len(part) for part in parts] == [5, 3, 2]
    assert sorted(np.concatenate([part.inputs[:, 0] for part in parts])) == list(range(10))
    copies = noisy_copies(samples, noise_sd=0.1, copies=3, seed=0)
    assert len(copies) == 30
    assert not np.array_equal(copies.inputs[:10], copies.inputs[10:20])
    np.testing.assert_array_equal(noisy_copies(samples, noise_sd=0, seed=0).inputs, samples.inputs)
    for shares in ((0.5, 0.4), (1.5, -0.5), (0.99, 0.01)):
        with pytest.raises(InputError, match="shares"):
            split(samples, shares, seed=0)
    with pytest.raises(InputError, match="2 problems"):
        noisy_copies(samples, noise_sd=-1, copies=0, seed=0)
