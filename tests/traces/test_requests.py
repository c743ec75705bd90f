"""Traces of requests: classes and their means, rates and their course, flaws by their row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.errors import InputError, UsageError
from optmodels.traces import (
    LengthClasses,
    class_mix,
    mean_rate,
    rate_shape,
    read_request_rates,
    read_requests,
)

HEAD = "TIMESTAMP,ContextTokens,GeneratedTokens\n"

# Shares [%] (rows: prompt S, M, L; columns: answer S, M, L) and rounded means (prompt, answer) of
# the traces of 2023, computed from the files apart from the package.
CODE_SHARES = [15.4, 0.5, 0.1, 20.7, 1.0, 0.1, 59.4, 2.3, 0.4]
CONV_SHARES = [3.6, 9.8, 0.1, 19.0, 10.4, 7.7, 15.1, 8.8, 25.6]
CODE_MEANS = [
    (119, 19),
    (148, 154),
    (131, 774),
    (650, 20),
    (618, 178),
    (810, 579),
    (3031, 19),
    (3158, 165),
    (3144, 617),
]
CONV_MEANS = [
    (181, 55),
    (168, 170),
    (181, 766),
    (446, 78),
    (455, 122),
    (985, 421),
    (2981, 61),
    (2160, 152),
    (1111, 428),
]


@pytest.mark.parametrize(
    ("name", "count", "rate", "shares", "means", "medians"),
    [
        ("code", 8819, 2.57, CODE_SHARES, CODE_MEANS, (1469, 13)),
        ("conv", 19366, 5.53, CONV_SHARES, CONV_MEANS, (1020, 129)),
    ],
)
def test_classes_of_the_azure_traces(
    shared_data: Path,
    name: str,
    count: int,
    rate: float,
    shares: list[float],
    means: list[tuple[int, int]],
    medians: tuple[int, int],
) -> None:
    """Shares and means of all nine classes are those of the files, to the last printed digit.

    A cut that takes 256 tokens for short, or exchanges prompt and answer, changes them.
    """
    file = shared_data / "llm_traces" / "azure_2023" / f"AzureLLMInferenceTrace_{name}.csv"
    requests = read_requests(file, tz="UTC")
    assert len(requests) == count
    assert requests["time"].is_monotonic_increasing
    assert tuple(requests[["input_tokens", "output_tokens"]].median()) == medians
    assert mean_rate(requests) == pytest.approx(rate, abs=0.005)
    mix = class_mix(requests)
    assert (mix["share"] * 100).round(1).tolist() == shares
    assert mix["requests"].sum() == count
    rounded = mix[["input_tokens", "output_tokens"]].to_numpy()
    assert np.abs(rounded - np.array(means)).max() <= 0.5 + 1e-9


def test_cuts_belong_to_the_longer_class() -> None:
    """255 tokens are short and 256 medium, 99 short and 100 medium; other cuts can be said."""
    frame = pd.DataFrame(
        {"input_tokens": [255, 256, 1023, 1024], "output_tokens": [99, 100, 349, 350]}
    )
    assert LengthClasses().of(frame).tolist() == ["SS", "MM", "MM", "LL"]
    assert LengthClasses((10, 256), (99, 100)).of(frame).tolist() == ["MM", "LL", "LL", "LL"]
    for cuts in ((3, 3), (0, 5), (1, 2, 3), 7):
        with pytest.raises(UsageError, match="two rising numbers"):
            LengthClasses(input_tokens=cuts)  # type: ignore[arg-type]


def test_requests_are_sorted_in_utc(tmp_path: Path) -> None:
    """Naive times need a zone; seven fractional digits are kept; offsets tell their own."""
    file = tmp_path / "r.csv"
    rows = "2023-11-16 18:00:01.1234567,5,0\n2023-11-16 18:00:00.0000001,7,9\n"
    file.write_text(HEAD + rows)
    with pytest.raises(InputError, match="no time zone"):
        read_requests(file)
    frame = read_requests(file, tz="Europe/Berlin")
    assert frame["input_tokens"].tolist() == [7, 5]
    gap = frame["time"].iloc[1] - frame["time"].iloc[0]
    assert gap == pd.Timedelta(1_123_456_600, unit="ns")
    assert frame["time"].iloc[0].hour == 17
    file.write_text(HEAD + "2024-05-10 00:00:00.009930+00:00,2162,5\n")
    assert read_requests(file)["time"].iloc[0].tzinfo is not None


def test_every_flaw_of_requests_is_listed(tmp_path: Path) -> None:
    """Times and tokens are reported together, each with its row."""
    file = tmp_path / "bad.csv"
    file.write_text(HEAD + "2023-11-16 18:00:00,0,5\n2023-13-16 18:00:00,5,1.5\nnever,5,-1\n")
    with pytest.raises(InputError) as caught:
        read_requests(file, tz="UTC")
    assert {(flaw.row, flaw.field) for flaw in caught.value.flaws} == {
        (2, "ContextTokens"),
        (3, "TIMESTAMP"),
        (3, "GeneratedTokens"),
        (4, "TIMESTAMP"),
        (4, "GeneratedTokens"),
    }
    file.write_text(HEAD)
    with pytest.raises(InputError, match="no rows"):
        read_requests(file, tz="UTC")
    file.write_text("TIMESTAMP,ContextTokens\n2023-11-16 18:00:00,5\n")
    with pytest.raises(InputError, match="'GeneratedTokens' is not in the header"):
        read_requests(file, tz="UTC")


def test_a_mix_needs_requests_and_a_rate_two_instants(tmp_path: Path) -> None:
    """An empty class has no mean; nothing is divided by zero."""
    file = tmp_path / "one.csv"
    file.write_text(HEAD + "2023-11-16 18:00:00,5,5\n")
    one = read_requests(file, tz="UTC")
    mix = class_mix(one)
    assert mix["share"].tolist() == [1.0] + [0.0] * 8
    assert mix["input_tokens"].isna().sum() == 8
    with pytest.raises(InputError, match="no rate"):
        mean_rate(one)
    with pytest.raises(InputError, match="no requests"):
        class_mix(one.iloc[:0])


def test_rates_of_servegen(shared_data: Path) -> None:
    """Two weeks in ten-minute steps; two models were measured on one day only."""
    file = shared_data / "llm_traces" / "servegen" / "servegen_total_rate_10min.csv.gz"
    rates = read_request_rates(file)
    assert rates.shape == (2016, 5)
    assert rates.isna().sum().tolist() == [0, 0, 0, 1872, 1872]
    large = rates["language_m-large"]
    shape = rate_shape(large, periods=2016, period_seconds=300)
    assert shape.mean() == pytest.approx(1, abs=1e-12)
    # At the middle of two neighbouring middles stands their mean.
    raw = large.to_numpy()
    scale = shape.iloc[1] / (0.75 * raw[0] + 0.25 * raw[1])
    assert shape.iloc[2] == pytest.approx(scale * (0.25 * raw[0] + 0.75 * raw[1]))
    with pytest.raises(InputError, match="ends 86400 s after its begin"):
        rate_shape(rates["reason_deepseek-r1"], periods=289, period_seconds=300)


def test_flaws_of_rates(tmp_path: Path) -> None:
    """A doubled, a skipped and a wrong time, a negative rate; a file without rates."""
    file = tmp_path / "rates.csv"
    file.write_text("timestamp_s,m\n0,1\n600,2\n600,-3\n1800,4\n2400,\n3000,5\n3600,5\n")
    with pytest.raises(InputError) as caught:
        read_request_rates(file)
    assert {(flaw.row, flaw.field) for flaw in caught.value.flaws} == {
        (4, "timestamp_s"),
        (4, "m"),
        (5, "timestamp_s"),
    }
    for text, words in (("timestamp_s\n0\n600\n", "no column"), ("timestamp_s,m\n0,1\n", "1 rows")):
        file.write_text(text)
        with pytest.raises(InputError, match=words):
            read_request_rates(file)


@settings(deadline=None, derandomize=True, max_examples=30)
@given(
    st.lists(st.one_of(st.none(), st.floats(0, 1e6)), min_size=2, max_size=20),
    st.integers(1, 12),
)
def test_a_shape_stays_between_the_rates(values: list[float | None], parts: int) -> None:
    """Interpolation never leaves the range of the rates, and the mean is one."""
    rates = pd.Series(values, index=np.arange(len(values)) * 600.0, dtype=float)
    if rates.iloc[-1:].isna().any() or rates.max() < 1e-3:
        with pytest.raises(InputError):
            rate_shape(rates, periods=len(values) * parts + 1, period_seconds=600 / parts)
        return
    shape = rate_shape(rates, periods=len(values) * parts, period_seconds=600 / parts)
    assert shape.mean() == pytest.approx(1)
    ratio = shape / shape.max()
    assert (ratio >= rates.min() / rates.max() * (1 - 1e-9) - 1e-12).all()


def test_gaps_are_bridged_by_straight_lines() -> None:
    """A missing interval takes the line between its neighbours, not zero and not the last value."""
    rates = pd.Series([1.0, np.nan, 3.0], index=[0.0, 600.0, 1200.0])
    shape = rate_shape(rates, periods=3, period_seconds=600)
    assert shape.tolist() == pytest.approx([0.5, 1.0, 1.5])
    for bad, words in ((0 * rates, "zero in all"), (-rates, "no rates")):
        with pytest.raises(InputError, match=words):
            rate_shape(bad.fillna(0.0), periods=3, period_seconds=600)
    with pytest.raises(UsageError, match="at least one"):
        rate_shape(rates, periods=0, period_seconds=600)
