"""Studies: many instances, many policies, one table, on any executor.

Rooms: `cell` (what is to be computed, and the key by which a result is found again), `source`
(which code a result depends on), `work` (computing one cell), `store` (a folder of results that
survives a kill), `engine` (executors), `cluster` (that of a dask scheduler), `study` (the verb and
its table), `confidence` (intervals and paired tests), `tables` (writing them).
"""

from __future__ import annotations

from optmodels.studies.engine import EngineError
from optmodels.studies.study import Study, study

__all__ = ["EngineError", "Study", "study"]
