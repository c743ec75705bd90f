"""Readers of public traces of carbon, wind, jobs and latency: frames with units.

``read_carbon`` gives a `Trace` from any format in `FORMATS` or from a file of one's own,
``read_power`` power per site from a file of one's own, ``read_vintages`` the forecasts that
were known at each time, ``read_wind`` wind power, ``read_profile`` a scaling profile, ``read_jobs``
batch jobs, ``read_latency`` round-trip times, ``read_requests`` and ``read_request_rates`` requests
to language models, ``read_serving_times`` and ``read_serving_power`` how fast GPUs serve them and
what they draw; ``aligned_power`` brings several sites onto one time axis. What may be repaired on
the way is said in advance by a `Cleaning` policy; everything else is refused with its row.
"""

from optmodels.text import RawTable, read_delimited
from optmodels.traces.alignment import aligned_power
from optmodels.traces.cleaning import Cleaning
from optmodels.traces.columns import survey
from optmodels.traces.inference import read_serving_power, read_serving_times
from optmodels.traces.jobs import read_jobs
from optmodels.traces.latency import LATENCY_FORMATS, PLACE_FORMATS, read_latency, read_places
from optmodels.traces.parse import parse_numbers, parse_times
from optmodels.traces.power import POWER_UNITS, read_power
from optmodels.traces.profile import read_profile
from optmodels.traces.readers import FORMATS, read_carbon
from optmodels.traces.requests import (
    CLASSES,
    LengthClasses,
    class_mix,
    mean_rate,
    rate_shape,
    read_request_rates,
    read_requests,
)
from optmodels.traces.series import UNITS
from optmodels.traces.trace import Trace
from optmodels.traces.vintages import Vintages, read_vintages
from optmodels.traces.wind import WIND_FORMATS, WindTrace, read_wind

__all__ = [
    "CLASSES",
    "FORMATS",
    "LATENCY_FORMATS",
    "PLACE_FORMATS",
    "POWER_UNITS",
    "UNITS",
    "WIND_FORMATS",
    "Cleaning",
    "LengthClasses",
    "RawTable",
    "Trace",
    "Vintages",
    "WindTrace",
    "aligned_power",
    "class_mix",
    "mean_rate",
    "parse_numbers",
    "parse_times",
    "rate_shape",
    "read_carbon",
    "read_delimited",
    "read_jobs",
    "read_latency",
    "read_places",
    "read_power",
    "read_profile",
    "read_request_rates",
    "read_requests",
    "read_serving_power",
    "read_serving_times",
    "read_vintages",
    "read_wind",
    "survey",
]
