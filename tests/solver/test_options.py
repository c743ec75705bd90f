"""Options and arguments: what is unknown or does not fit is refused, never ignored."""

from __future__ import annotations

import highspy
import pytest

from optmodels.errors import UsageError
from optmodels.solver import solve_model
from optmodels.solver.options import Limits, check_options, known_options

from .models import dispatch


def test_every_listed_option_is_known_to_highs() -> None:
    """The list read from HiGHS is HiGHS's own: each name has a type there; none is lost."""
    specs = known_options()
    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    assert len(specs) > 80
    for name in specs:
        assert highs.getOptionType(name)[0] == highspy.HighsStatus.kOk, name
    assert specs["threads"].low == 0
    assert specs["mip_rel_gap"].kind == "double"
    assert specs["simplex_strategy"].high == 4


def test_unknown_option_is_refused_with_suggestions() -> None:
    """A misspelt option is an error that names the right one (Pyomo's interface ignores it)."""
    with pytest.raises(UsageError, match="'presolve'"):
        solve_model(dispatch(), options={"presolv": "off"})


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("presolve", True, "a text"),
        ("simplex_iteration_limit", 1.5, "an integer"),
        ("simplex_iteration_limit", True, "an integer"),
        ("mip_abs_gap", "small", "a number"),
        ("mip_abs_gap", float("nan"), "a number"),
        ("mip_abs_gap", -1.0, r"in \[0, inf\]"),
        ("mip_detect_symmetry", 1, "a bool"),
        ("time_limit", 3.0, "time_limit_s"),
        ("mip_rel_gap", 0.1, "mip_gap"),
        ("output_flag", True, "logging"),
    ],
)
def test_wrong_values_are_refused(name: str, value: object, words: str) -> None:
    """Types and ranges are checked before HiGHS, which takes NaN and only logs the others."""
    with pytest.raises(UsageError, match=words):
        check_options({name: value})


def test_a_text_that_highs_refuses_is_an_error() -> None:
    """Texts have no listed range: HiGHS's returned status is looked at."""
    with pytest.raises(UsageError, match="maybe"):
        solve_model(dispatch(), options={"presolve": "maybe"})


@pytest.mark.parametrize(
    "arguments",
    [
        {"time_limit_s": 0},
        {"time_limit_s": -1.0},
        {"time_limit_s": float("nan")},
        {"time_limit_s": float("inf")},
        {"time_limit_s": "60"},
        {"time_limit_s": True},
        {"mip_gap": -0.1},
        {"mip_gap": float("nan")},
        {"mip_gap": 1.5},
        {"threads": 0},
        {"threads": 1.5},
        {"seed": -1},
        {"seed": 2**31},
    ],
)
def test_arguments_out_of_range(arguments: dict[str, object]) -> None:
    """Each argument of the face is validated, and named in the message."""
    with pytest.raises(UsageError, match=next(iter(arguments))):
        solve_model(dispatch(), **arguments)


def test_all_faulty_arguments_are_told_together() -> None:
    """One message, all faults."""
    with pytest.raises(UsageError, match=r"time_limit_s.*mip_gap.*threads.*seed"):
        Limits(time_limit_s=0, mip_gap=2, threads=0, seed=-1)


def test_thread_counts_may_change_between_solves() -> None:
    """HiGHS refuses another thread count after its first run unless its scheduler is reset."""
    for threads in (1, 2, None, 1):
        assert solve_model(dispatch(), threads=threads).status == "optimal"


def test_options_used_are_told() -> None:
    """The solution carries limits and options."""
    solution = solve_model(dispatch(), options={"presolve": "off"}, seed=3)
    assert solution.options["presolve"] == "off"
    assert solution.options["seed"] == 3
    assert solution.solver == f"HiGHS {highspy.Highs().version()}"
