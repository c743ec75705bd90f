"""Readers of public traces of carbon, wind, jobs and latency: frames with units.

``read_carbon`` gives a `Trace` from any format in `FORMATS`, ``read_vintages`` the forecasts that
were known at each time, ``read_wind`` wind power, ``read_profile`` a scaling profile, ``read_jobs``
batch jobs, ``read_latency`` round-trip times; ``aligned_power`` brings several sites onto one time
axis. What may be repaired on the way is said in advance by a `Cleaning` policy; everything else is
refused with its row.
"""

from optmodels.text import RawTable, read_delimited
from optmodels.traces.alignment import aligned_power
from optmodels.traces.cleaning import Cleaning
from optmodels.traces.jobs import read_jobs
from optmodels.traces.latency import LATENCY_FORMATS, PLACE_FORMATS, read_latency, read_places
from optmodels.traces.parse import parse_numbers, parse_times
from optmodels.traces.profile import read_profile
from optmodels.traces.readers import FORMATS, read_carbon
from optmodels.traces.series import UNITS
from optmodels.traces.trace import Trace
from optmodels.traces.vintages import Vintages, read_vintages
from optmodels.traces.wind import WIND_FORMATS, WindTrace, read_wind

__all__ = [
    "FORMATS",
    "LATENCY_FORMATS",
    "PLACE_FORMATS",
    "UNITS",
    "WIND_FORMATS",
    "Cleaning",
    "RawTable",
    "Trace",
    "Vintages",
    "WindTrace",
    "aligned_power",
    "parse_numbers",
    "parse_times",
    "read_carbon",
    "read_delimited",
    "read_jobs",
    "read_latency",
    "read_places",
    "read_profile",
    "read_vintages",
    "read_wind",
]
