"""How long it takes to load a model, and how much memory it takes: presets from measurements.

The time to load a model of a given file size is a fixed time and the size over a bandwidth, and
never less than some least time:

=====================  =====================================  =================================
preset                 load time [ms], file size in MB        where it comes from
=====================  =====================================  =================================
a2_onnx_first_read     354 + size / 103 MB/s                  least squares, 35 models
a2_onnx_cached         298 + size / 936 MB/s                  least squares, 17 models
orin_trt               max(84, -51 + 11.3 size)               least squares, 50 models
fast                   50 + size / 1000 MB/s                  invented: fast storage
=====================  =====================================  =================================

The fits are ours, to public measurements of torchvision models under ONNX Runtime on an NVIDIA A2
and under TensorRT on a Jetson Orin Nano (umassos/milcom25-failure-measurements); the measurements
themselves are not part of the project. That the two regimes on the A2 are files read for the first
time and files in the page cache is an inference from a jump in the data, not a documented fact.

Memory on the accelerator and the time of an inference were fitted alike:
73 + 1.54 size [MB], 2.3 + 1.15 GMAC [ms].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike

from optmodels.policy import FloatArray

#: Memory of a replica: fixed [MB], and per MB of its file.
MEMORY_FIXED_MB, MEMORY_PER_MB = 73.0, 1.54
#: Time of an inference: fixed [ms], and per billion multiply-accumulates [ms].
INFERENCE_FIXED_MS, INFERENCE_MS_PER_GMAC = 2.3, 1.15
#: A multiply-accumulate is two operations.
GFLOP_PER_GMAC = 2.0


@dataclass(frozen=True)
class LoadTime:
    """Time to load a model as a function of the size of its file.

    Attributes
    ----------
    fixed_ms
        Time that does not depend on the size [ms]; may be negative where there is a least time.
    ms_per_mb
        Time per megabyte [ms/MB].
    least_ms
        Least time [ms].
    """

    fixed_ms: float
    ms_per_mb: float
    least_ms: float = 0.0

    def load_ms(self, file_mb: ArrayLike) -> FloatArray:
        """Time to load files of these sizes [ms]."""
        size = np.asarray(file_mb, dtype=np.float64)
        times: FloatArray = np.maximum(self.fixed_ms + self.ms_per_mb * size, self.least_ms)
        return times


PRESETS: Mapping[str, LoadTime] = MappingProxyType(
    {
        "a2_onnx_first_read": LoadTime(354.0, 1000 / 103),
        "a2_onnx_cached": LoadTime(298.0, 1000 / 936),
        "orin_trt": LoadTime(-51.0, 11.3, 84.0),
        "fast": LoadTime(50.0, 1.0),
    }
)


def memory_mb(file_mb: ArrayLike) -> FloatArray:
    """Memory of a loaded replica by the size of its file [MB]."""
    memory: FloatArray = MEMORY_FIXED_MB + MEMORY_PER_MB * np.asarray(file_mb, dtype=np.float64)
    return memory


def inference_ms(gmac: ArrayLike) -> FloatArray:
    """Time of an inference by its multiply-accumulates in billions [ms]."""
    times: FloatArray = INFERENCE_FIXED_MS + INFERENCE_MS_PER_GMAC * np.asarray(
        gmac, dtype=np.float64
    )
    return times
