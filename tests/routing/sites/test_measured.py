"""Facts of serving: the re-typed ones are those of the public files; the classes of requests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from optmodels.errors import InputError, UsageError
from optmodels.routing.sites.measured import MEASURED, azure_mix, class_table, facts_from
from optmodels.traces import (
    CLASSES,
    class_mix,
    read_requests,
    read_serving_power,
    read_serving_times,
)


def files(shared_data: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Times of Splitwise and power of ML.ENERGY."""
    folder = shared_data / "llm_profiles"
    times = read_serving_times(folder / "splitwise" / "perf_model.csv")
    return times, read_serving_power(folder / "ml_energy_lm_arena_facts.csv")


def test_facts_are_those_of_the_files(shared_data: Path) -> None:
    """Every re-typed number is that of the full files, rounded; gaps are at the same places.

    A power of zero taken for measured, times of A100 taken for H100, or the batch that was not run
    at once, would show here.
    """
    found = facts_from(*files(shared_data))
    for name, rounding in (("prefill_s", 6e-5), ("token_s", 6e-5), ("power_share", 6e-4)):
        ours, theirs = getattr(MEASURED, name), getattr(found, name)
        assert ours.index.tolist() == theirs.index.tolist()
        assert ours.columns.tolist() == theirs.columns.tolist()
        assert (ours.isna() == theirs.isna()).all(axis=None)
        assert (ours - theirs).abs().max(axis=None) <= rounding
    assert np.abs(MEASURED.served.index - found.served.index).max() <= 0.006
    assert (MEASURED.served.to_numpy() - found.served.to_numpy()) == pytest.approx(0, abs=6e-5)
    assert found.served_gpus == MEASURED.served_gpus


def test_what_was_not_run_at_once_did_not_fit(shared_data: Path) -> None:
    """The memory holds what was measured at once on two GPUs, and does not hold what was not."""
    facts = facts_from(*files(shared_data))
    assert np.isnan(facts.token_s.loc[64, 2])
    assert 32 * (512 + 128) <= MEASURED.fitting_tokens(2) < 64 * (512 + 128)
    assert MEASURED.fitting_tokens(1) < 0


def test_facts_of_something_unknown(shared_data: Path) -> None:
    """Unknown models and GPUs are named; a model served by several sizes is refused."""
    times, power = files(shared_data)
    with pytest.raises(UsageError, match="Unknown model of the times"):
        facts_from(times, power, model="llama3-70b")
    with pytest.raises(UsageError, match="Unknown hardware"):
        facts_from(times, power, hardware="h100")
    with pytest.raises(UsageError, match="Unknown GPU"):
        facts_from(times, power, served_gpu="H200")
    with pytest.raises(InputError, match="not one known size"):
        facts_from(times, power, served_model="Qwen/Qwen3-32B")
    with pytest.raises(InputError, match="has no runs"):
        facts_from(times, power, power_hardware="h100-80gb")


def test_mix_is_that_of_the_traces(shared_data: Path) -> None:
    """Shares and means of both traces together, as if they were one file."""
    folder = shared_data / "llm_traces" / "azure_2023"
    both = pd.concat(
        [
            read_requests(folder / f"AzureLLMInferenceTrace_{name}.csv", tz="UTC")
            for name in ("conv", "code")
        ]
    )
    theirs = class_mix(both)
    ours = azure_mix()
    assert ours["share"].to_numpy() == pytest.approx(theirs["share"].to_numpy(), abs=1e-12)
    for name in ("input_tokens", "output_tokens"):
        assert ours[name].to_numpy() == pytest.approx(theirs[name].to_numpy(), abs=0.051)


def test_mixes_of_one_kind() -> None:
    """All conversations, or none; shares sum to one; anything else is no share."""
    assert azure_mix(1.0).loc["LL", "share"] == pytest.approx(0.256, abs=5e-4)
    assert azure_mix(0.0).loc["LS", "output_tokens"] == 18.7
    for share in (0.0, 0.3, 1.0):
        assert azure_mix(share)["share"].sum() == pytest.approx(1)
    for share in (-0.1, 1.1, float("nan")):
        with pytest.raises(UsageError, match="share in 0"):
            azure_mix(share)


def test_limits_of_classes() -> None:
    """The first letter is the prompt's; a request may take what its parts may take together."""
    table = class_table().set_index("class")
    assert table.index.tolist() == list(CLASSES)
    assert table["ttft_limit_s"].tolist() == [0.25] * 3 + [0.4] * 3 + [2.0] * 3
    one = table.loc["MS"]
    assert one["e2e_limit_s"] == pytest.approx(0.4 + (one["output_tokens"] - 1) * 0.1)
    assert (table["weight"] == 1).all()
    tokens = class_table(by_token=True)
    assert tokens["weight"].tolist() == tokens["output_tokens"].tolist()


def test_classes_without_requests_are_refused() -> None:
    """All that is wrong with a mix at once: unknown names, missing means, answers of one token."""
    mix = azure_mix().rename(index={"SS": "XS"})
    mix.loc["SM", "input_tokens"] = np.nan
    mix.loc["LL", "output_tokens"] = 1.0
    with pytest.raises(InputError) as caught:
        class_table(mix)
    assert [flaw.field for flaw in caught.value.flaws] == [
        "class XS",
        "input_tokens of class SM",
        "output_tokens of class LL",
    ]
    with pytest.raises(InputError, match="'output_tokens': is missing"):
        class_table(azure_mix().drop(columns="output_tokens"))
