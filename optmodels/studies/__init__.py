"""Studies: many instances, many policies, one table, on any executor.

Rooms: `cell` (what is to be computed, and the key by which a result is found again), `source`
(which code a result depends on), `work` (computing one cell), `store` (a folder of results that
survives a kill), `engine` (executors), `cluster` (that of a dask scheduler), `results` (the verb
and its table), `confidence` (intervals and paired tests), `tables` (writing them), `losses` (where
a distance to the optimum comes from), `advice` (good and bad advice), `search` (searching for worst
cases), `drawing`.
"""

from __future__ import annotations

from optmodels.studies.advice import AdviceCurve, advice_curve
from optmodels.studies.engine import EngineError
from optmodels.studies.losses import Gaps, gaps
from optmodels.studies.results import Study, study
from optmodels.studies.search import Worst, adversary

__all__ = [
    "AdviceCurve",
    "EngineError",
    "Gaps",
    "Study",
    "Worst",
    "adversary",
    "advice_curve",
    "gaps",
    "study",
]
