"""Speed and power of language models: units, what was not measured, and facts of the files."""

from __future__ import annotations

from pathlib import Path

import pytest

from optmodels.errors import InputError
from optmodels.traces import read_serving_power, read_serving_times

TIMES = (
    "model,hardware,prompt_size,batch_size,token_size,peak_power,average_power,prompt_time,"
    "token_time,e2e_time,tensor_parallel\n"
)
POWER = (
    "model_id,gpu_model,num_gpus,tensor_parallel,max_num_seqs,avg_batch_size,avg_output_len,"
    "avg_power_watts,output_throughput_tokens_per_sec,median_itl_ms,p90_itl_ms,p99_itl_ms,"
    "energy_per_token_joules,energy_per_request_joules\n"
)


def test_times_of_splitwise(shared_data: Path) -> None:
    """Medians in seconds; power is missing, not zero, on H100 and for batches of 32 and more."""
    times = read_serving_times(shared_data / "llm_profiles" / "splitwise" / "perf_model.csv")
    assert len(times) == 1260
    llama = times[(times.model == "llama2-70b") & (times.output_tokens == 128)]
    a100 = llama[(llama.hardware == "a100-80gb") & (llama.input_tokens == 512)]
    first = a100[a100.batch == 1].groupby("tensor_parallel")
    assert (first.prefill_s.median() * 1000).round().tolist() == [197, 127, 94]
    assert (first.token_s.median() * 1000).round(1).tolist() == [54.9, 45.0, 44.9]
    assert first.power_share.median().round(3).tolist() == [0.736, 0.599, 0.435]
    assert a100[a100.batch >= 32].power_share.isna().all()
    assert a100[a100.batch < 32].power_share.notna().all()
    assert llama[llama.hardware == "h100-80gb"].power_share.isna().all()


def test_power_of_ml_energy(shared_data: Path) -> None:
    """The example of a 70-billion model on four H100, and kW for W."""
    power = read_serving_power(shared_data / "llm_profiles" / "ml_energy_lm_arena_facts.csv")
    assert len(power) == 93
    llama = power[power.model.str.contains("70B") & (power.gpu == "H100")].set_index("batch_limit")
    chosen = llama.loc[[8, 32, 128, 512, 1024]]
    assert (chosen.power_kw * 1000).round().tolist() == [1765, 1794, 2184, 2493, 2548]
    assert chosen.tokens_per_s.round().tolist() == [470, 1487, 3876, 5921, 6827]
    assert (chosen.token_s * 1000).round(1).tolist() == [16.6, 20.0, 27.9, 73.9, 105.6]
    assert (llama.gpus == 4).all()


def test_flaws_of_times_are_listed(tmp_path: Path) -> None:
    """Counts that are no counts, times of zero, power above twice the rated one, no name."""
    file = tmp_path / "t.csv"
    file.write_text(TIMES + "m,h,512,1.5,128,1,0,0,50,60,2\n,h,512,1,128,3,0,5,50,60,0\n")
    with pytest.raises(InputError) as caught:
        read_serving_times(file)
    assert {(flaw.row, flaw.field) for flaw in caught.value.flaws} == {
        (2, "batch_size"),
        (2, "prompt_time"),
        (3, "model"),
        (3, "peak_power"),
        (3, "tensor_parallel"),
    }
    file.write_text(TIMES)
    with pytest.raises(InputError, match="no rows"):
        read_serving_times(file)


def test_power_of_one_gpu_is_refused(tmp_path: Path) -> None:
    """Energy per token tells when a power is not that of all GPUs."""
    file = tmp_path / "p.csv"
    row = "m,H100,4,4,8,8,350,{watts},500,16,17,20,3.5,1200\n"
    file.write_text(POWER + row.format(watts=1750))
    assert read_serving_power(file).power_kw.tolist() == [1.75]
    file.write_text(POWER + row.format(watts=437.5))
    with pytest.raises(InputError, match=r"row 2.*energy per token times tokens"):
        read_serving_power(file)
    file.write_text(POWER + row.format(watts=0))
    with pytest.raises(InputError, match="was not measured"):
        read_serving_power(file)
