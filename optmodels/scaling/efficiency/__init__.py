"""Energy efficiency against carbon efficiency: four mechanisms, their break-even and their price.

While the carbon intensity of electricity was taken for constant, work per kWh was as good a guide
as work per gram. Where it changes with time and place, the operation that draws the least energy is
no longer the one that emits the least carbon (Hanafy et al., "The War of the Efficiencies:
Understanding the Tension between Carbon and Energy Optimization", HotCarbon 2023, arXiv
2306.16948). Four ways to use that flexibility cost energy:

============  ===============================================  ==================================
room          what is done                                     what it costs
============  ===============================================  ==================================
`temporal`    a job is suspended while electricity is dirty    saving its state, an idle server
`resource`    it runs on more servers while it is clean        servers that add less and less work
`rate`        it runs at a higher clock frequency              power that grows with its cube
`spatial`     it moves to a place where it is clean            data to move, other hardware
============  ===============================================  ==================================

The theses and the mechanisms are the paper's. Its full text was not available to us: the formulas
are our derivation, checked numerically in tests/scaling/efficiency. `measures` has the terms in
which the mechanisms are compared.
"""

from optmodels.scaling.efficiency.measures import Contest, Operation
from optmodels.scaling.efficiency.rate import ClockFrequency, ClockPlan
from optmodels.scaling.efficiency.resource import ElasticServers
from optmodels.scaling.efficiency.spatial import Migration
from optmodels.scaling.efficiency.temporal import Pause, SuspendResume

__all__ = [
    "ClockFrequency",
    "ClockPlan",
    "Contest",
    "ElasticServers",
    "Migration",
    "Operation",
    "Pause",
    "SuspendResume",
]
