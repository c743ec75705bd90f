"""Profile tables: full, monotone, in balance by Little's law, true to what was measured."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.errors import InputError, UsageError
from optmodels.routing.sites.laws import (
    FREQUENCIES,
    PROVENANCE,
    Laws,
    batches,
    decode,
    prefill,
    profile_table,
    utilisation,
)
from optmodels.routing.sites.measured import MEASURED, class_table

RISING = {"requests_per_s": 1, "power_kw": 1, "ttft_s": -1, "tbt_s": -1, "e2e_s": -1}
"""Sense in which a faster clock changes each column."""

THROUGHPUT = {8: 469.69, 16: 862.65, 32: 1486.67, 64: 2510.51, 128: 3876.27, 256: 4915.10}
"""Output tokens per second of Llama-3.1 70B on 4 H100 by concurrent requests, ML.ENERGY."""


def one_class(tokens: float, answer: float) -> pd.DataFrame:
    """A class of these lengths."""
    return pd.DataFrame({"class": ["X"], "input_tokens": [tokens], "output_tokens": [answer]})


def assert_monotone(table: pd.DataFrame) -> None:
    """A faster clock never slows, a larger batch never loses throughput or gains time."""
    for by, along, senses in (
        (["class", "tp", "batch"], "frequency", RISING),
        (["class", "tp", "frequency"], "batch", dict.fromkeys(RISING, 1)),
    ):
        for _, group in table.sort_values(along).groupby(by):
            for column, sense in senses.items():
                steps = np.diff(group[column].to_numpy()) * sense
                assert (steps >= -1e-12 * group[column].max()).all(), (by, column)


def test_the_table_is_full() -> None:
    """Nine classes on three degrees at six clocks and eight loads, without gaps or doubles."""
    table = profile_table(class_table())
    assert len(table) == 9 * 3 * len(FREQUENCIES) * 8 == 1296
    assert table["row"].tolist() == list(range(1296))
    key = ["class", "tp", "frequency", "batch"]
    assert not table.duplicated(key).any()
    assert (table.groupby(key[:3]).size() == 8).all()
    assert set(PROVENANCE) == set(table.columns) - {"row", "class"}
    assert (table.drop(columns="class") >= 0).all(axis=None)


def test_the_table_is_monotone() -> None:
    """In the clock and in the batch, in all columns."""
    assert_monotone(profile_table(class_table()))


@settings(deadline=None, derandomize=True, max_examples=25)
@given(
    st.floats(20, 4000),
    st.floats(8, 1000),
    st.floats(0, 1),
    st.floats(1.0, 3.5),
    st.floats(0, 1.0),
)
def test_tables_of_any_class_and_laws(
    tokens: float, answer: float, bound: float, exponent: float, idle: float
) -> None:
    """Little's law and the sum of the times hold exactly, power stays within its range.

    Times and power are monotone whatever the lengths and the laws. The rate is monotone where
    answers take longer than prompts do.
    """
    laws = Laws(clock_bound=bound, clock_exponent=exponent, idle_kw=idle)
    table = profile_table(one_class(tokens, answer), laws=laws)
    assert table["batch"].to_numpy() == pytest.approx(
        (table["requests_per_s"] * table["e2e_s"]).to_numpy()
    )
    whole = table["ttft_s"] + (answer - 1) * table["tbt_s"]
    assert table["e2e_s"].to_numpy() == pytest.approx(whole.to_numpy())
    per_gpu = table["power_kw"] / table["tp"]
    assert per_gpu.between(idle * (1 - 1e-12), 1.3 * (1 + 1e-12)).all()
    if answer > tokens / 20:
        assert_monotone(table)
    # No instance serves more than its work allows: each request's prompt, and its share of tokens.
    for degree, group in table.groupby("tp"):
        _, shared = prefill(MEASURED, int(degree), tokens)
        token = decode(MEASURED, int(degree), group["batch"].to_numpy())
        clock = group["frequency"].to_numpy()
        token = token * (1 - bound + bound / clock)
        work = shared / clock + (answer - 1) * token / group["batch"].to_numpy()
        assert (group["requests_per_s"].to_numpy() <= 1 / work * (1 + 1e-12)).all()


def test_measured_throughput_is_reproduced() -> None:
    """On 4 GPUs the model gives the measured tokens per second within 3 %, for 8 to 256 requests.

    The measurement does not tell the length of its prompts; with 150 tokens one number fits six
    batches. If prompts were read one by one, 256 requests would be off by a third.
    """
    table = profile_table(one_class(150, 350), degrees=[4], frequencies=[1.0], levels=256)
    tokens = table.set_index("batch")["requests_per_s"] * 350
    for batch, measured in THROUGHPUT.items():
        assert tokens[batch] == pytest.approx(measured, rel=0.03), batch


def test_measured_points_are_met() -> None:
    """At the fastest clock and a batch of one, times are those that were measured."""
    table = profile_table(one_class(2048, 128), frequencies=[1.0], levels=1, most=1)
    assert table["ttft_s"].tolist() == pytest.approx([0.3103, 0.2007, 0.1368])
    # Shape of the small batches from Splitwise, level from ML.ENERGY at 7.99 requests.
    level = 0.01657 / np.interp(7.99, [4, 8], [29.9, 31.4])
    assert table["tbt_s"].tolist() == pytest.approx(
        [level * 37.0, level * 29.7, level * 29.8], rel=1e-6
    )
    watts = np.interp(128, [127.61, 191.62], [0.5459, 0.5733])
    used = (watts - 0.1) / 0.6
    assert utilisation(MEASURED, Laws(), 4, np.array([128.0])) == pytest.approx([used])
    # Two GPUs draw more each: the ratio of the largest measured batch holds on.
    two = utilisation(MEASURED, Laws(), 2, np.array([128.0]))
    assert two * 0.6 + 0.1 == pytest.approx([watts * 0.794 / 0.642])


def test_laws_by_hand() -> None:
    """One row computed by hand: half the clock, two requests of 512 and 101 tokens on 4 GPUs."""
    table = profile_table(
        one_class(512, 101), degrees=[4], frequencies=[0.5], levels=2, most=2
    ).set_index("batch")
    two = table.loc[2.0]
    alone = 0.0596 / 0.5
    shared = 512 * 0.2007 / 2048 / 0.5
    token = float(decode(MEASURED, 4, np.array([2.0]))[0]) * 1.25
    wait = token / 4 + shared**2 / (2 * 100 * token)
    assert two["ttft_s"] == pytest.approx(alone + wait)
    assert two["tbt_s"] == pytest.approx(token + shared / 100)
    assert two["requests_per_s"] == pytest.approx(2 / (alone + wait + 100 * (token + shared / 100)))
    used = float(utilisation(MEASURED, Laws(), 4, np.array([2.0]))[0])
    assert two["power_kw"] == pytest.approx(4 * (0.25 + 1.05 * used * 0.5**2.2))


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.integers(1, 300), st.integers(1, 20))
def test_loads_are_whole_and_rise(largest: int, levels: int) -> None:
    """From 1 (or the largest alone) to the largest, none twice, as many as asked for or as fit."""
    found = batches(largest, levels)
    assert len(found) == min(levels, largest)
    assert found[-1] == largest
    assert (found == np.rint(found)).all()
    assert (np.diff(found) >= 1).all()
    assert found[0] == (1 if levels > 1 else largest)


def test_memory_bounds_the_batch() -> None:
    """Twice the tokens, half the requests; a class that fits on eight GPUs only has one degree."""
    short = profile_table(one_class(1000, 1000)).groupby("tp")["batch"].max()
    long = profile_table(one_class(2000, 2000)).groupby("tp")["batch"].max()
    assert short[2] == 18
    assert long[2] == 9
    facts = replace(MEASURED, usable_gb=20.0)
    assert set(profile_table(one_class(1000, 1000), facts)["tp"]) == {8}


def test_refusals() -> None:
    """Degrees, loads and clocks that are not known; classes that cannot be; all flaws at once."""
    classes = class_table()
    with pytest.raises(UsageError, match="Unknown degree '3'"):
        profile_table(classes, degrees=[3])
    for options in ({"levels": 0}, {"most": 0}, {"most": 1000}):
        with pytest.raises(UsageError, match="levels must be"):
            profile_table(classes, **options)  # type: ignore[arg-type]
    for clocks in ((), (0.0,), (1.2,)):
        with pytest.raises(UsageError, match="shares in 0"):
            profile_table(classes, frequencies=clocks)
    wrong = pd.DataFrame(
        {
            "class": ["A", "B", "C"],
            "input_tokens": [9000.0, 10.0, 10.0],
            "output_tokens": [10.0, 1.0, 1e7],
        }
    )
    with pytest.raises(InputError) as caught:
        profile_table(wrong)
    assert len(caught.value.flaws) == 3
    with pytest.raises(InputError) as caught:
        Laws(clock_bound=2, clock_exponent=0.5, idle_kw=2.0)
    assert len(caught.value.flaws) == 3
