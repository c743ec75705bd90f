"""One model in three forms: compiled from traces, through Pyomo's objects, and as a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from optmodels.solver import solve_model
from optmodels.solver.pyomo_standard import compile_pyomo
from optmodels.solver.template import Formulation, instance_of
from tests.solver.comparing import assert_same, read_back
from tests.solver.random_models import random_model


@pytest.mark.parametrize("block", range(10))
def test_random_models_are_the_same_on_both_paths(block: int) -> None:
    """A traced model equals Pyomo's own standard form, entry by entry, whatever its rules.

    The rules cover nested and ragged sums, offsets, named Expressions, value look-ups, columns
    that stand twice in a row, zero coefficients and empty sets; a slip in any of them (a sum over
    the wrong lanes, an index moved the wrong way, entries that overwrite instead of adding) gives
    another matrix.
    """
    for seed in range(12 * block, 12 * block + 12):
        model, data = random_model(seed)
        assert_same(
            Formulation(model).compile(data).linear, compile_pyomo(instance_of(model, data))
        )


@pytest.mark.parametrize("suffix", [".mps", ".lp"])
def test_random_models_survive_a_file(tmp_path: Path, suffix: str) -> None:
    """What HiGHS reads from an exported file is the model that was exported."""
    for seed in range(40):
        model, data = random_model(seed)
        compiled = Formulation(model).compile(data).linear
        assert_same(compiled, read_back(compiled, tmp_path, suffix))


def test_random_models_have_one_optimum() -> None:
    """Both forms have one status, and one objective where there is one."""
    solved = 0
    for seed in range(60):
        model, data = random_model(seed)
        fast, slow = solve_model(model, data=data), solve_model(instance_of(model, data))
        assert fast.status == slow.status, seed
        if fast.objective is not None:
            solved += 1
            assert fast.objective == pytest.approx(slow.objective, rel=1e-7, abs=1e-7), seed
    assert solved >= 8


def test_comparison_sees_a_difference() -> None:
    """The comparison is no rubber stamp: each small change of a model is seen."""
    model, data = random_model(3)
    one = Formulation(model).compile(data).linear
    other = compile_pyomo(instance_of(model, data))
    assert_same(one, other)
    for field in ("cost", "coefficients", "row_upper", "column_upper", "integer"):
        values = np.array(getattr(one, field))
        place = int(np.flatnonzero(np.isfinite(values))[0])
        values[place] = 1 - values[place]
        changed = type(one)(
            **{**{n: getattr(one, n) for n in one.__dataclass_fields__}, field: values}
        )
        with pytest.raises(AssertionError):
            assert_same(changed, other)
