"""What is measured of language models on GPUs, as far as a profile table needs it.

A few numbers suffice for a table without any file. They are facts of public measurements, medians
over repeated runs, rounded; `facts_from` makes the same from the full files and a test says that
they agree.

- **Time to read a prompt** (prefill) of Llama-2 70B on 2, 4 and 8 H100, by its length, and **time
  from token to token** by batch, after prompts of 512 tokens: Splitwise (Patel et al., ISCA 2024),
  perf_model.csv of its simulator.
- **Share of the rated power** that 2, 4 and 8 A100 draw in the same runs, by batch, from the same
  file; on H100 it was not measured. What is used of it is how the share changes with the number of
  GPUs.
- **Power and time between tokens** of Llama-3.1 70B on 4 H100 by the number of concurrent requests:
  ML.ENERGY leaderboard (Chung et al., arXiv:2505.06371), task of chats.
- **Requests by class**: how many of each, and their mean lengths, in one hour of conversations and
  one of code completion on Azure in 2023 (AzurePublicDataset, CC-BY 4.0).

Llama-2 70B and Llama-3.1 70B have layers of the same shapes; that one's ratios hold for the other
is our assumption. So is the memory: 69 billion weights of two bytes, and 80 layers with 8 heads of
128 keys and values of two bytes per token. Of 80 GB of a GPU 75 are taken to be usable: with that,
two GPUs hold 32 requests of 640 tokens and do not hold 64, as the measured times show (the batch of
64 was not run at once: its prefill is shorter than that of 32).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from optmodels.errors import Flaw, InputError, UsageError
from optmodels.traces.requests import CLASSES, LENGTHS

_PROMPT = 512
_ANSWER = 128
_DEGREES = (2, 4, 8)


@dataclass(frozen=True, eq=False)
class ServingFacts:
    """Measurements from which profile tables are made.

    Parameters
    ----------
    prefill_s
        Time to read one prompt [s], by its length [tokens] (rows) and number of GPUs (columns).
    token_s
        Time from token to token [s] by batch and number of GPUs; NaN where it was not measured.
    power_share
        Power per GPU as a share of the rated one, by batch and number of GPUs.
    served
        ``token_s`` [s] and ``gpu_kw`` (power per GPU [kW]) by number of concurrent requests, on
        `served_gpus` GPUs.
    served_gpus
        GPUs of the instance that `served` was measured on; a column of the other tables.
    rated_kw
        Rated power of a GPU [kW].
    usable_gb
        Memory of a GPU that holds weights and tokens [GB].
    weights_gb
        Memory of the weights [GB].
    token_mb
        Memory of the keys and values of one token [MB].
    """

    prefill_s: pd.DataFrame
    token_s: pd.DataFrame
    power_share: pd.DataFrame
    served: pd.DataFrame
    served_gpus: int
    rated_kw: float = 0.7
    usable_gb: float = 75.0
    weights_gb: float = 138.0
    token_mb: float = 0.32768

    def fitting_tokens(self, gpus: int) -> float:
        """Tokens whose keys and values fit beside the weights; negative if the weights do not."""
        return 1000 * (gpus * self.usable_gb - self.weights_gb) / self.token_mb


def _milliseconds(rows: dict[int, tuple[float, ...]], name: str) -> pd.DataFrame:
    return _by_degree(rows, name) / 1000


def _by_degree(rows: dict[int, tuple[float, ...]], name: str) -> pd.DataFrame:
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=list(_DEGREES), dtype=float)
    return frame.rename_axis(index=name, columns="gpus")


_NONE = float("nan")

MEASURED = ServingFacts(
    prefill_s=_milliseconds(
        {
            128: (48.3, 49.1, 58.2),
            256: (51.8, 51.0, 51.7),
            512: (83.8, 59.6, 53.4),
            1024: (158.0, 105.6, 77.9),
            2048: (310.3, 200.7, 136.8),
            4096: (642.7, 463.5, 390.3),
            8192: (1339.8, 953.6, 844.9),
        },
        "input_tokens",
    ),
    token_s=_milliseconds(
        {
            1: (37.0, 29.7, 29.8),
            2: (37.4, 30.0, 30.3),
            4: (40.0, 29.9, 31.8),
            8: (40.4, 31.4, 32.5),
            16: (42.0, 32.8, 34.2),
            32: (52.3, 36.9, 38.6),
            64: (_NONE, 52.4, 50.2),
        },
        "batch",
    ),
    power_share=_by_degree(
        {
            1: (0.736, 0.599, 0.435),
            2: (0.745, 0.607, 0.428),
            4: (0.741, 0.604, 0.438),
            8: (0.762, 0.615, 0.434),
            16: (0.794, 0.642, 0.458),
        },
        "batch",
    ),
    served=pd.DataFrame(
        [
            (7.99, 0.01657, 0.4414),
            (15.95, 0.01770, 0.4510),
            (31.88, 0.02005, 0.4486),
            (63.79, 0.02243, 0.5004),
            (95.73, 0.02536, 0.5254),
            (127.61, 0.02787, 0.5459),
            (191.62, 0.03370, 0.5733),
            (255.31, 0.03984, 0.5886),
            (383.02, 0.05512, 0.5859),
            (510.51, 0.07389, 0.6232),
            (766.32, 0.10364, 0.6338),
            (898.45, 0.10561, 0.6369),
        ],
        columns=["batch", "token_s", "gpu_kw"],
    ).set_index("batch"),
    served_gpus=4,
)
"""Facts of a model with 70 billion weights on H100, re-typed from the sources above."""

_MIX_COLUMNS = ("requests", "input_tokens", "output_tokens")
_CONVERSATIONS = (
    (693, 180.6, 55.4),
    (1898, 168.5, 170.0),
    (10, 181.0, 765.7),
    (3680, 446.0, 78.3),
    (2016, 455.4, 122.0),
    (1498, 985.1, 420.6),
    (2922, 2981.4, 61.4),
    (1699, 2160.1, 151.9),
    (4950, 1110.8, 427.9),
)
_CODE = (
    (1362, 119.1, 18.7),
    (45, 147.6, 153.7),
    (9, 130.9, 774.0),
    (1829, 649.9, 19.9),
    (89, 617.9, 177.7),
    (5, 810.2, 579.4),
    (5242, 3031.5, 18.7),
    (207, 3158.4, 164.7),
    (31, 3144.5, 617.4),
)

TTFT_LIMIT_S = dict(zip(LENGTHS, (0.25, 0.40, 2.0), strict=True))
"""Longest time to the first token by length of the prompt [s], as DynamoLLM's service levels."""
TBT_LIMIT_S = 0.1
"""Longest time between tokens [s], as DynamoLLM's service levels."""


def azure_mix(conversations: float | None = None) -> pd.DataFrame:
    """Classes of requests on Azure: their shares and mean lengths.

    Parameters
    ----------
    conversations
        Share of the requests that are conversations; the others complete code. By default as many
        as there were of each in an hour.

    Returns
    -------
    DataFrame
        Indexed by ``class`` in the order of `optmodels.traces.CLASSES`: ``share`` of the requests,
        and their mean ``input_tokens`` and ``output_tokens``.

    Raises
    ------
    UsageError
        A share outside 0 .. 1.
    """
    parts = [
        pd.DataFrame(rows, columns=list(_MIX_COLUMNS), index=pd.Index(CLASSES, name="class"))
        for rows in (_CONVERSATIONS, _CODE)
    ]
    counts = [float(part["requests"].sum()) for part in parts]
    if conversations is None:
        conversations = counts[0] / sum(counts)
    if not 0 <= conversations <= 1:
        raise UsageError(f"conversations is a share in 0 .. 1, not {conversations}.")
    shares = [
        part["requests"] / count * weight
        for part, count, weight in zip(
            parts, counts, (conversations, 1 - conversations), strict=True
        )
    ]
    share = shares[0] + shares[1]
    means = {
        name: (shares[0] * parts[0][name] + shares[1] * parts[1][name]) / share
        for name in _MIX_COLUMNS[1:]
    }
    return pd.DataFrame({"share": share, **means})


def class_table(mix: pd.DataFrame | None = None, *, by_token: bool = False) -> pd.DataFrame:
    """Table ``classes`` of an instance: mean lengths and the limits of latency.

    The limits are `TTFT_LIMIT_S` and `TBT_LIMIT_S`; a whole request may take what its limits of
    first token and of tokens in between add up to: our reading.

    Parameters
    ----------
    mix
        As `azure_mix` or `optmodels.traces.class_mix` gives it; by default that of Azure.
    by_token
        Whether a request counts as many as the tokens of its answer, instead of one.

    Raises
    ------
    InputError
        Classes whose names are not two of S, M and L; lengths that are missing, or answers
        without a second token; all of them together.
    """
    chosen = azure_mix() if mix is None else mix
    lengths = ("input_tokens", "output_tokens")
    flaws = [Flaw("is missing", field=name) for name in lengths if name not in chosen.columns]
    for name in () if flaws else chosen.index:
        label = f"class {name}"
        if name not in CLASSES:
            flaws.append(Flaw("is unknown", field=label, allowed=", ".join(CLASSES)))
            continue
        for field, least in (("input_tokens", 0.0), ("output_tokens", 1.0)):
            value = float(chosen[field][name])
            if not least < value < np.inf:
                flaws.append(
                    Flaw(
                        "is no mean length",
                        field=f"{field} of {label}",
                        value=value,
                        allowed=f"a number > {least:g}",
                        fix="leave out classes without requests",
                    )
                )
    if flaws:
        raise InputError(flaws, "classes of requests")
    names = [str(name) for name in chosen.index]
    answers = chosen["output_tokens"].to_numpy(dtype=np.float64)
    first = np.array([TTFT_LIMIT_S[name[0]] for name in names])
    return pd.DataFrame(
        {
            "class": names,
            "input_tokens": chosen["input_tokens"].to_numpy(dtype=np.float64),
            "output_tokens": answers,
            "ttft_limit_s": first,
            "tbt_limit_s": TBT_LIMIT_S,
            "e2e_limit_s": first + (answers - 1) * TBT_LIMIT_S,
            "weight": answers if by_token else 1.0,
        }
    )


def facts_from(
    times: pd.DataFrame,
    power: pd.DataFrame,
    *,
    model: str = "llama2-70b",
    hardware: str = "h100-80gb",
    power_hardware: str = "a100-80gb",
    served_model: str = "meta-llama/Llama-3.1-70B-Instruct",
    served_gpu: str = "H100",
) -> ServingFacts:
    """Facts of a model from the full files; by default those of `MEASURED`, not rounded.

    Parameters
    ----------
    times
        As `optmodels.traces.read_serving_times` gives them.
    power
        As `optmodels.traces.read_serving_power` gives them.
    model, hardware, power_hardware
        Whose times, on which GPUs, and on which other GPUs the shares of power were measured.
    served_model, served_gpu
        Whose power and times under concurrent requests.

    Returns
    -------
    ServingFacts
        Rated power and memory are those of `MEASURED`: say others by `dataclasses.replace`.

    Raises
    ------
    UsageError
        A model or GPU that the frames do not have.
    InputError
        No measured power; instances of `served_model` of several sizes, or of a size that `times`
        does not have.
    """
    _known("model of the times", model, times["model"])
    for name in (hardware, power_hardware):
        _known("hardware of the times", name, times["hardware"])
    _known("model of the power", served_model, power["model"])
    _known("GPU of the power", served_gpu, power["gpu"])
    runs = times[(times["model"] == model) & (times["output_tokens"] == _ANSWER)]
    fast = runs[runs["hardware"] == hardware]
    same = fast[fast["input_tokens"] == _PROMPT]
    prefill = _medians(fast[fast["batch"] == 1], "input_tokens", "prefill_s")
    together = _medians(same, "batch", "prefill_s")
    # Twice the prompts cannot be read in less time: such a batch did not fit and was not run at
    # once, so what stands beside it belongs to a smaller one.
    at_once = together.diff().fillna(0) >= 0
    token = _medians(same, "batch", "token_s").where(at_once)
    measured = runs[
        (runs["hardware"] == power_hardware)
        & (runs["input_tokens"] == _PROMPT)
        & runs["power_share"].notna()
    ]
    share = _medians(measured, "batch", "power_share")
    served = power[(power["model"] == served_model) & (power["gpu"] == served_gpu)]
    sizes = sorted(set(served["gpus"]))
    flaws = []
    if not len(share) or not len(token) or not len(prefill):
        flaws.append(Flaw("has no runs", field=f"{model} on {hardware} and {power_hardware}"))
    if len(sizes) != 1 or sizes[0] not in token.columns:
        allowed = f"one of {', '.join(str(column) for column in token.columns)}"
        shown = ", ".join(str(size) for size in sizes)
        field = f"GPUs of {served_model}"
        flaws.append(Flaw("is not one known size", field=field, value=shown, allowed=allowed))
    if flaws:
        raise InputError(flaws, "facts of serving")
    curve = pd.DataFrame(
        {
            "token_s": served["token_s"].to_numpy(),
            "gpu_kw": (served["power_kw"] / served["gpus"]).to_numpy(),
        },
        index=pd.Index(served["batch"], name="batch"),
    ).sort_index()
    return ServingFacts(prefill, token, share, curve, int(sizes[0]))


def _medians(runs: pd.DataFrame, row: str, value: str) -> pd.DataFrame:
    """Medians over repeated runs, by `row` and number of GPUs."""
    table = runs.groupby([row, "tensor_parallel"])[value].median().unstack()
    return table.rename_axis(index=row, columns="gpus")


def _known(kind: str, name: str, names: Sequence[str] | pd.Series[str]) -> None:
    choices = sorted({str(one) for one in names})
    if name not in choices:
        raise UsageError.unknown(kind, str(name), choices)
