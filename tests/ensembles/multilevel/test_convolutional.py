"""Convolutional members with torch, where it is installed; and the word said where it is not."""

from __future__ import annotations

import importlib
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from optmodels.ensembles.multilevel.samples import Samples, split
from optmodels.ensembles.multilevel.subsets import level_weights
from optmodels.ensembles.multilevel.table import measure
from optmodels.ensembles.multilevel.training import Training
from optmodels.errors import InputError, MissingExtraError, UsageError
from tests.ensembles.multilevel.tasks import noisy_digits

MODULE = "optmodels.ensembles.multilevel.convolutional"


@pytest.fixture(scope="module")
def conv():
    """Everything of the convolutional modules; skips where torch is missing."""
    pytest.importorskip("torch", reason="torch, the extra 'mel', is not installed")
    return SimpleNamespace(
        **{
            **vars(importlib.import_module(MODULE)),
            **vars(importlib.import_module(MODULE + "_systems")),
        }
    )


def stripes(count=240, *, seed=0) -> Samples:
    """Images 8 × 8 with a bright row or column in one of three places: six classes."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(6, size=count)
    images = 0.2 * rng.random((count, 8, 8))
    for image, label in zip(images, labels, strict=True):
        if label < 3:
            image[2 * label + 1] += 1
        else:
            image[:, 2 * (label - 3) + 1] += 1
    return Samples.of(images, labels)


def task_of(conv, *, epochs=3, dropout=0.0, **shape):
    """A small task and samples to judge by."""
    learnt, judged = split(stripes(), (0.7, 0.3), seed=0)
    widths = shape.pop("widths", ((2, 3, 4), (2, 3, 4)))
    design = conv.ConvolutionalDesign((8, 8), 6, widths, dropout=dropout, **shape)
    schedule = Training(epochs, batch=32, learning_rate=0.01)
    return conv.ConvolutionalTask(design, (4, 4, 6, 6), (3, 4, 5), learnt, schedule), judged


def state(ensemble):
    """All parameters and averages, by part."""
    parts = [*ensemble.encoders, *ensemble.heads.values()]
    return [value.clone() for part in parts for value in part.state_dict().values()]


def equal(one, other):
    """Whether two states are the same bit by bit."""
    return all(bool((a == b).all()) for a, b in zip(one, other, strict=True))


def test_without_torch_the_extra_is_named(monkeypatch):
    """Asking for convolutional members without torch says what to install."""
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    with pytest.raises(MissingExtraError, match=r"optmodels\[mel\]"):
        importlib.import_module(MODULE)


def test_nothing_else_imports_torch_or_scikit_learn():
    """The package and all of the NumPy version leave both alone."""
    code = (
        "import sys, optmodels, optmodels.ensembles.multilevel as m\n"
        "assert m.SYSTEMS\n"
        "found = {'torch', 'sklearn'} & set(sys.modules)\n"
        "sys.exit(str(found) if found else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize(
    ("widths", "parameters"),
    [
        (((32, 32, 64, 64),), 65834),
        (((20, 20, 40, 40),), 26030),
        (((14, 20, 28),) * 3, 26860),
        (((12, 12, 20, 20),), 7502),
        (((8, 8, 12, 12),), 3018),
        (((4, 6, 8),) * 3, 3190),
        (((5, 7, 11),) * 2, 2668),
    ],
)
def test_golden_sizes(conv, widths, parameters):
    """Sizes of the references and ensembles that were measured before."""
    design = conv.ConvolutionalDesign((8, 8), 10, widths)
    assert conv.ConvolutionalEnsemble(design, seed=0).parameters == parameters


def test_same_seed_same_parameters_and_torchs_state_is_left_alone(conv):
    """A seed decides everything, dropout included; torch's own state is as before."""
    import torch

    before, threads = torch.random.get_rng_state(), torch.get_num_threads()
    first = state(conv.multilevel(task_of(conv, epochs=1, dropout=0.3)[0]))
    assert equal(first, state(conv.multilevel(task_of(conv, epochs=1, dropout=0.3)[0])))
    assert bool((torch.random.get_rng_state() == before).all())
    assert torch.get_num_threads() == threads


def test_exits_alone_are_independent_training(conv):
    """With weight on exits alone, each member learns what it learns on its own."""
    task, judged = task_of(conv)
    weights = level_weights(2, [1, 0], normalised=False)
    together = task.trained(task.fresh(task.design, 0), 5, weights=weights)
    # Member 0 begins alike whoever else is in the ensemble.
    alone = task.trained(task.fresh(task.design.of_member(0), 0), 5, weights=np.ones(1))
    inputs = judged.inputs
    np.testing.assert_allclose(
        together.probabilities(inputs)[0], alone.probabilities(inputs)[0], atol=1e-4
    )


def test_frozen_members_stay(conv):
    """The first strawman's members keep parameters and averages bit by bit."""
    task, judged = task_of(conv, epochs=2)
    frozen, members = conv.frozen_heads(task), conv.independent(task)
    np.testing.assert_array_equal(
        frozen.probabilities(judged.inputs)[:2], members.probabilities(judged.inputs)[:2]
    )


@pytest.mark.parametrize("head", ["linear", "hidden", "mixing"])
def test_a_short_run_learns(conv, head):
    """After a second of training every subset is far above chance, whatever the heads."""
    task, judged = task_of(conv, epochs=12, widths=((4, 6, 8), (4, 6, 8)), head=head)
    table = measure(conv.multilevel(task), judged)
    assert table.alone > 3 / 6
    assert table.full > 4 / 6


def test_every_system_has_a_full_table(conv):
    """Each system is trained and answers for every subset, members of many depths included."""
    task, judged = task_of(conv, epochs=1, widths=((2, 3), (2, 3, 4)))
    for name in conv.SYSTEMS:
        fitted = conv.fit(name, task)
        assert len(measure(fitted.answers, judged)) == 2**fitted.members - 1
        assert fitted.parameters > 0
    with pytest.raises(UsageError, match="multilevel"):
        conv.fit("multi-level", task)


def test_impossible_designs(conv):
    """What cannot be built or does not fit is refused."""
    with pytest.raises(InputError, match="3 problems"):
        conv.ConvolutionalDesign((8, 1), 1, ((2, 3),), dropout=1.0)
    with pytest.raises(InputError, match="mixed"):
        conv.ConvolutionalDesign((8, 8), 6, ((2,), (2, 3)), head="mixing")
    with pytest.raises(InputError, match="layer"):
        conv.ConvolutionalDesign((8, 8), 6, ((2,), ()))
    with pytest.raises(UsageError, match="linear"):
        conv.ConvolutionalDesign((8, 8), 6, ((2,),), head="liner")
    task, _ = task_of(conv)
    ensemble = task.fresh(task.design, 0)
    with pytest.raises(UsageError, match="64 features"):
        ensemble.probabilities(np.zeros((3, 10)))
    with pytest.raises(UsageError, match="shaped like"):
        ensemble.take_member(0, ensemble)
    few = Samples.of(task.samples.inputs, task.samples.labels % 2)
    with pytest.raises(UsageError, match="classes"):
        conv.train(ensemble, few, task.training, seed=0)


def test_convolutional_ensemble_of_digits(conv):
    """On noisy digits no subset collapses and most is kept with one member down."""
    dense, judged = noisy_digits((6, 6, 6), epochs=12, noise_sd=0.2)
    design = conv.ConvolutionalDesign((8, 8), 10, ((4, 6, 8),) * 3, dropout=0.0)
    sizes = ((12, 12, 20, 20), (8, 8, 12, 12))
    task = conv.ConvolutionalTask(design, *sizes, dense.samples, dense.training)
    table = measure(conv.multilevel(task), judged)
    assert len(table) == 7
    assert table.alone > 2 / 10
    assert table.retention > 0.85
