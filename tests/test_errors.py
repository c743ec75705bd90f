"""Errors speak: what, where, what is allowed, why, and what to do."""

from __future__ import annotations

import pickle

import pytest

from optmodels import errors
from optmodels.errors import (
    Flaw,
    InfeasibleError,
    InputError,
    MissingExtraError,
    UsageError,
    shorten,
)


def test_a_flaw_is_one_sentence_with_everything_in_it():
    """File, row, field, value, fault, allowed range, cause and fix, in this order."""
    flaw = Flaw(
        "is too small",
        file="carbon.csv",
        row=7,
        field="carbon_g_per_kwh",
        value=-3.5,
        allowed="a number ≥ 0",
        cause="a sign",
        fix="remove it",
    )
    assert str(flaw) == (
        "carbon.csv, row 7, field 'carbon_g_per_kwh': -3.5 is too small (allowed: a number ≥ 0). "
        "Likely cause: a sign. Fix: remove it."
    )
    assert str(Flaw("is empty")) == "is empty."


def test_many_flaws_are_one_message_that_stays_readable():
    """Twenty are shown, the rest is counted, all are kept."""
    error = InputError([Flaw("is wrong", row=i) for i in range(2, 30)], "Folder x")
    lines = str(error).splitlines()
    assert lines[0] == "Folder x: 28 problems"
    assert len(lines) == 22
    assert lines[-1] == "  - ... and 8 more problems of this input."
    assert len(error.flaws) == 28
    assert str(InputError(Flaw("is wrong"))) == "is wrong."


def test_long_values_are_cut_in_the_middle():
    """Start and end stay visible; a megabyte does not reach the terminal."""
    text = shorten("a" * 10**6 + "z")
    assert len(text) <= 60
    assert text.startswith("'aaa")
    assert text.endswith("z'")


def test_unknown_names_get_suggestions():
    """Close names first, then all that are known."""
    error = UsageError.unknown("policy", "Lac", ["lacs", "roro", "run-now"])
    assert str(error) == "Unknown policy 'Lac'. Did you mean 'lacs'? Known: lacs, roro, run-now."


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.InputError, 2),
        (errors.UsageError, 2),
        (errors.MissingExtraError, 2),
        (errors.InfeasibleError, 3),
        (errors.UnboundedError, 3),
        (errors.NoSolutionError, 4),
        (errors.SolverError, 1),
        (errors.AuditError, 1),
    ],
)
def test_exit_codes(kind, code):
    """The command line ends with the code of the class; all share one base."""
    assert kind.exit_code == code
    assert issubclass(kind, errors.OptmodelsError)


def test_infeasible_lists_its_reasons():
    """One line per limit that takes part in the conflict."""
    error = errors.InfeasibleError("No plan.", ["work: 9", "slots: 8"])
    assert str(error).splitlines() == ["No plan.", "  - work: 9", "  - slots: 8"]
    assert error.reasons == ("work: 9", "slots: 8")


def test_missing_extra_names_the_command():
    """What to install, and for what."""
    error = errors.MissingExtraError("pyarrow", "parquet", "Reading Parquet")
    assert 'pip install "optmodels[parquet]"' in str(error)
    assert isinstance(error, ImportError)


@pytest.mark.parametrize(
    "error",
    [
        InputError([Flaw("is wrong", file="a.csv", row=3), Flaw("is missing", field="b")], "Table"),
        UsageError.unknown("policy", "rorro", ["roro", "lacs"]),
        InfeasibleError("No plan.", ["work: 4", "deadline: 2"]),
        MissingExtraError("pyarrow", "parquet", "Reading Parquet"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_survive_the_way_back_from_a_worker(error):
    """A pickled error comes back with its text and all it carries."""
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert back.__dict__ == error.__dict__


def test_hostile_names_neither_drown_nor_steer_a_terminal():
    """Texts from files are escaped and cut: a name may hold an escape sequence or a book."""
    text = str(Flaw("is not known", field="a\x00b\x1b[31mc", fix="x" * 10_000))
    assert "\x00" not in text
    assert "\x1b" not in text
    assert "a\\x00b\\x1b[31mc" in text
    assert len(text) <= 900
    whole = str(InputError([Flaw("is long", field="y" * 5_000, fix="z" * 5_000)] * 50))
    assert len(whole) < 20_000
