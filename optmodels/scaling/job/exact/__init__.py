"""Offline optima of one elastic job with switching cost, all exact.

Three methods, each its own module, for the problem stated in `schedule.py`:

=====================  ==========================================  ===============================
method                 answers                                     when
=====================  ==========================================  ===============================
`taut_string`,         the optimum of every job length at once     rates from 0 to a cap, work
`JobLengthCurve`                                                   proportional to the rate
`secant_oracle`        one job length, with a lower bound that     the same problem; an
                       proves it                                   independent certificate
`lagrangian_bound`     a lower bound from any price of work        a proof for a plan from elsewhere
`level_oracle`         one amount of work, with a lower bound      servers with a measured
                       that proves it                              throughput and power curve
=====================  ==========================================  ===============================

They agree with each other and with a linear program to 1e-9 (tests/scaling/job/test_oracle.py).
All of them are pure functions of arrays.
"""

from __future__ import annotations

from optmodels.scaling.job.exact.levels import level_oracle, shares_cost
from optmodels.scaling.job.exact.schedule import schedule_cost
from optmodels.scaling.job.exact.secant import OracleAnswer, lagrangian_bound, secant_oracle
from optmodels.scaling.job.exact.taut_string import JobLengthCurve, taut_string

__all__ = [
    "JobLengthCurve",
    "OracleAnswer",
    "lagrangian_bound",
    "level_oracle",
    "schedule_cost",
    "secant_oracle",
    "shares_cost",
    "taut_string",
]
