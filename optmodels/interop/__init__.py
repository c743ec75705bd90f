"""Other tools: networks of PyPSA in, environments of Gymnasium and arrays of xarray out.

Rooms: `pypsa_network` (wind series of a network become an instance), `agents` (what a learner sees
and what its numbers do), `learning` (an instance as an environment of Gymnasium, and what has
been learnt as a policy), `labelled` (plans as labelled arrays, and back). Each imports the other
tool when it is called, and says which extra brings it.
"""

from __future__ import annotations

from optmodels.interop.labelled import from_xarray, to_xarray
from optmodels.interop.learning import environment, learnt
from optmodels.interop.pypsa_network import NetworkWind, from_pypsa, wind_series

__all__ = [
    "NetworkWind",
    "environment",
    "from_pypsa",
    "from_xarray",
    "learnt",
    "to_xarray",
    "wind_series",
]
