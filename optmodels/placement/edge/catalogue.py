"""Devices and applications of synthetic and converted instances.

The names are those of hardware and models that studies of edge inference use; CarbonEdge
(arXiv:2502.14076) reports results on such devices, but its table of energies is not public. **All
numbers here are ours**: rounded, of a plausible order, and meant to be replaced. What matters for
the placement is that devices differ in base power, in energy per request and in room.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from optmodels.placement.edge.instance import RESOURCES


@dataclass(frozen=True)
class Device:
    """A kind of server.

    Attributes
    ----------
    name
        Its name.
    base_kw
        Power of one that is on, without work [kW].
    free
        Its resources, as in `RESOURCES`.
    usual
        Applications of the usual mix that one holds, about.
    """

    name: str
    base_kw: float
    free: tuple[float, float, float, float]
    usual: float

    def row(self, group: str, site: str, servers: int, running: float = 0.0) -> dict[str, object]:
        """Row of the table of servers; a share of them runs already."""
        return {
            "group": group,
            "site": site,
            "device": self.name,
            "servers": servers,
            "running": int(running * servers),
            "base_kw": self.base_kw,
            **dict(zip(RESOURCES, self.free, strict=True)),
        }


DEVICES = (
    Device("orin-nano", 0.007, (6.0, 8.0, 6.0, 1.0), 2.5),
    Device("a2", 0.075, (16.0, 64.0, 16.0, 1.0), 6.0),
    Device("gtx-1080", 0.1, (16.0, 32.0, 8.0, 1.0), 6.5),
)

KINDS = ("efficientnet-b0", "keyword-spotting", "resnet50", "sensor-fusion", "yolov4")
#: Share of each kind in the usual mix, requests of one application, and its state.
MIX = (0.3, 0.2, 0.25, 0.1, 0.15)
REQUESTS_PER_S = (10.0, 20.0, 10.0, 5.0, 5.0)
STATE_GB = (0.5, 0.2, 0.8, 2.0, 1.5)

# Energy [J] and time [ms] of a request, and what one application takes, by kind and device.
_PROFILES = {
    ("efficientnet-b0", "orin-nano"): (0.15, 9.0, 0.5, 1.0, 0.5, 0.3),
    ("efficientnet-b0", "a2"): (0.4, 5.0, 0.5, 1.0, 0.5, 0.1),
    ("efficientnet-b0", "gtx-1080"): (0.9, 4.0, 0.5, 1.0, 0.5, 0.08),
    ("keyword-spotting", "orin-nano"): (0.05, 3.0, 1.0, 0.5, 0.2, 0.2),
    ("keyword-spotting", "a2"): (0.15, 2.0, 1.0, 0.5, 0.2, 0.07),
    ("keyword-spotting", "gtx-1080"): (0.3, 2.0, 1.0, 0.5, 0.2, 0.05),
    ("resnet50", "orin-nano"): (0.25, 15.0, 0.5, 1.5, 0.8, 0.45),
    ("resnet50", "a2"): (0.6, 7.0, 0.5, 1.5, 0.8, 0.15),
    ("resnet50", "gtx-1080"): (1.3, 6.0, 0.5, 1.5, 0.8, 0.12),
    ("sensor-fusion", "orin-nano"): (1.6, 10.0, 2.0, 1.0, 0.0, 0.0),
    ("sensor-fusion", "a2"): (2.4, 6.0, 2.0, 1.0, 0.0, 0.0),
    ("sensor-fusion", "gtx-1080"): (2.4, 6.0, 2.0, 1.0, 0.0, 0.0),
    ("yolov4", "orin-nano"): (1.2, 40.0, 1.0, 2.5, 1.5, 0.9),
    ("yolov4", "a2"): (3.2, 18.0, 1.0, 2.5, 1.5, 0.35),
    ("yolov4", "gtx-1080"): (7.0, 15.0, 1.0, 2.5, 1.5, 0.25),
}


def profiles(*, end_to_end: bool = False) -> pd.DataFrame:
    """The table of profiles.

    Parameters
    ----------
    end_to_end
        Whether limits hold for round trip and service together; by default the round trip alone
        counts, as CarbonEdge's limits do.
    """
    rows = [
        {
            "kind": kind,
            "device": device,
            "joule_per_request": numbers[0],
            "service_ms": numbers[1] if end_to_end else 0.0,
            **dict(zip(RESOURCES, numbers[2:], strict=True)),
        }
        for (kind, device), numbers in _PROFILES.items()
    ]
    return pd.DataFrame(rows)
