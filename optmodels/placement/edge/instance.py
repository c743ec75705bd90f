"""Applications at edge sites: what is known, and what is asked.

Applications have to run somewhere near their users: on a server of an edge site whose round trip
from the users is short enough. The carbon intensity of the grid differs between sites that are only
a few milliseconds apart, servers differ in the energy they need for the same work, and a server
that is on draws power whatever it does. Where should each application run, and which servers should
be on, so that least carbon is emitted?

Applications that are alike (same kind, users, limit, rate) are one row with a count, and so are
servers that are alike (same site, device, free resources). Nothing is lost by that: see
`optmodels.placement.edge.model`. Applications may come in batches, each of which is placed before
the next is known; some may run already and be moved, at a price.

The question is that of CarbonEdge (arXiv:2502.14076), which names carbon intensity, energy
efficiency of the hardware and the latency limit as what has to be weighed together. Its equations
are not public in full: the model here, its aggregation and its proofs are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import AwareDatetime

from optmodels.errors import Flaw
from optmodels.instance import Instance
from optmodels.placement.edge.checks import table_flaws
from optmodels.policy import FloatArray, frozen
from optmodels.schema import Parameters, Place, Row, Table, column

IntArray = NDArray[np.int64]

#: Resources of a server, and what an application takes of each, in the order of every array.
RESOURCES = ("cpu_cores", "memory_gb", "gpu_memory_gb", "gpu_share")

JOULES_PER_KWH = 3.6e6
#: What an application may take beyond what is free: the rounding of sums and differences.
ROOM = 1e-9
_LARGEST = 1e12
_MOST = 10**7


class EdgeParameters(Parameters):
    """Scalar parameters of applications at edge sites."""

    start: AwareDatetime = column("start of the period, UTC")
    period_hours: float = column(
        "length of the period for which applications are placed", unit="h", gt=0, le=_LARGEST
    )
    unplaced_g: float | None = column(
        "price of an application that is not placed; default: all must be placed",
        unit="g",
        default=None,
        ge=0,
        le=_LARGEST,
    )
    switch_off: bool = column(
        "whether running servers that are not needed are switched off", default=False
    )
    move_kwh_per_gb: float = column(
        "energy of moving the state of a running application",
        unit="kWh/GB",
        default=0.0,
        ge=0,
        le=_LARGEST,
    )
    moves_max_gb: float | None = column(
        "most state that may be moved; default: no limit",
        unit="GB",
        default=None,
        ge=0,
        le=_LARGEST,
    )
    quantity: Literal["direct", "lifecycle", "marginal", "unspecified"] = column(
        "what the carbon intensity counts", default="unspecified"
    )


class SiteRow(Row):
    """One edge site."""

    site: str = column("name of the site")
    zone: str = column("grid zone that feeds it")


class CarbonRow(Row):
    """Carbon intensity of one zone."""

    zone: str = column("name of the grid zone")
    carbon_g_per_kwh: float = column(
        "mean carbon intensity over the period", unit="g/kWh", ge=0, le=_LARGEST
    )


class LatencyRow(Row):
    """Round trip from the users of an origin to a site."""

    origin: str = column("where users are")
    site: str = column("name of the site")
    rtt_ms: float = column("round trip", unit="ms", ge=0, le=_LARGEST)


class ServerRow(Row):
    """Servers that are alike."""

    group: str = column("name of the group")
    site: str = column("name of the site")
    device: str = column("kind of server, as in the profiles")
    servers: int = column("number of servers", ge=1, le=_MOST)
    running: int = column("how many of them are on already", ge=0, le=_MOST)
    base_kw: float = column("power of a server that is on, without work", unit="kW", ge=0, le=1e6)
    cpu_cores: float = column("free processor cores of each", unit="cores", ge=0, le=_LARGEST)
    memory_gb: float = column("free memory of each", unit="GB", ge=0, le=_LARGEST)
    gpu_memory_gb: float = column("free memory of its accelerator", unit="GB", ge=0, le=_LARGEST)
    gpu_share: float = column("free share of its accelerator's time", ge=0, le=_LARGEST)


class ProfileRow(Row):
    """One kind of application on one device."""

    kind: str = column("kind of application")
    device: str = column("kind of server")
    joule_per_request: float = column(
        "energy of a request beyond the base power", unit="J", ge=0, le=_LARGEST
    )
    service_ms: float = column("time of a request on the server", unit="ms", ge=0, le=_LARGEST)
    cpu_cores: float = column("cores that one application takes", unit="cores", ge=0, le=_LARGEST)
    memory_gb: float = column("memory that it takes", unit="GB", ge=0, le=_LARGEST)
    gpu_memory_gb: float = column("accelerator memory that it takes", unit="GB", ge=0, le=_LARGEST)
    gpu_share: float = column("share of the accelerator's time that it takes", ge=0, le=_LARGEST)


class ApplicationRow(Row):
    """Applications that are alike."""

    name: str = column("name of the row")
    kind: str = column("kind of application, as in the profiles")
    origin: str = column("where its users are, as in the table of round trips")
    count: int = column("number of applications", ge=1, le=_MOST)
    rtt_limit_ms: float = column(
        "longest round trip and service together", unit="ms", ge=0, le=_LARGEST
    )
    requests_per_s: float = column("rate of each", unit="1/s", ge=0, le=_LARGEST)
    batch: int = column("batch with which it comes, from 1", ge=1, le=10_000)
    state_gb: float = column("state to carry over when it is moved", unit="GB", ge=0, le=_LARGEST)


class PlacedRow(Row):
    """Applications that run already."""

    name: str = column("row of the applications")
    group: str = column("group of servers")
    count: int = column("how many of that row run there", ge=1, le=_MOST)


class EdgeInstance(Instance):
    """Frozen data of applications at edge sites.

    Tables: ``applications``, ``servers``, ``sites``, ``carbon``, ``latency`` (a pair without a row
    cannot be used), ``profiles`` (a kind without a row for a device cannot run on it); optionally
    ``forecast``, what policies are told instead of ``carbon``, and ``placed``.

    Arrays are by class of applications (D of them) and group of servers (G), in the order of their
    names; kinds (K) are numbered in the order of theirs, resources in that of `RESOURCES`.
    """

    problem: ClassVar[str] = "placement.edge"
    title: ClassVar[str] = "On which servers of which edge sites do applications run?"
    parameters_model: ClassVar[type[Parameters]] = EdgeParameters
    table_models: ClassVar[Mapping[str, Table]] = {
        "applications": Table(ApplicationRow, ("name",), "Applications, alike ones in one row."),
        "servers": Table(ServerRow, ("group",), "Servers, alike ones in one row."),
        "sites": Table(SiteRow, ("site",), "Edge sites."),
        "carbon": Table(CarbonRow, ("zone",), "Carbon intensity of the zones."),
        "latency": Table(LatencyRow, ("origin", "site"), "Round trips from users to sites."),
        "profiles": Table(ProfileRow, ("kind", "device"), "Applications on devices."),
        "forecast": Table(
            CarbonRow, ("zone",), "Intensity that policies are told.", required=False
        ),
        "placed": Table(
            PlacedRow, ("name", "group"), "Applications that run already.", required=False
        ),
    }

    @classmethod
    def _check(
        cls,
        parameters: Any,
        tables: Mapping[str, pd.DataFrame],
        places: Mapping[str, Place],
    ) -> list[Flaw]:
        return table_flaws(tables, places)

    # -- labels --------------------------------------------------------------------------------

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the rows of applications, in the order of every array by class."""
        return tuple(str(name) for name in self._tables["applications"]["name"])

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """Names of the groups of servers, in the order of every array by group."""
        return tuple(str(name) for name in self._tables["servers"]["group"])

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of applications that are asked for."""
        return tuple(sorted({str(kind) for kind in self._tables["applications"]["kind"]}))

    @cached_property
    def devices(self) -> tuple[str, ...]:
        """Kinds of servers that there are."""
        return tuple(sorted({str(name) for name in self._tables["servers"]["device"]}))

    # -- applications --------------------------------------------------------------------------

    @cached_property
    def count(self) -> IntArray:
        """Number of applications of each class, shape (D,)."""
        return _whole(self._tables["applications"]["count"])

    @cached_property
    def kind(self) -> IntArray:
        """Kind of each class, shape (D,)."""
        return _codes(self._tables["applications"]["kind"], self.kinds)

    @cached_property
    def batch(self) -> IntArray:
        """Batch of each class, shape (D,)."""
        return _whole(self._tables["applications"]["batch"])

    @cached_property
    def limit_ms(self) -> FloatArray:
        """Longest round trip and service of each class [ms], shape (D,)."""
        return frozen(self._tables["applications"]["rtt_limit_ms"])

    @cached_property
    def requests(self) -> FloatArray:
        """Requests of one application over the period, shape (D,)."""
        rate = self._tables["applications"]["requests_per_s"].to_numpy()
        return frozen(rate * (3600.0 * self.period_hours))

    @cached_property
    def move_kwh(self) -> FloatArray:
        """Energy of moving one application of each class [kWh], shape (D,)."""
        return frozen(self.state_gb * float(self.parameters.move_kwh_per_gb))

    @cached_property
    def state_gb(self) -> FloatArray:
        """State of one application of each class [GB], shape (D,)."""
        return frozen(self._tables["applications"]["state_gb"])

    # -- servers -------------------------------------------------------------------------------

    @cached_property
    def servers(self) -> IntArray:
        """Servers of each group, shape (G,)."""
        return _whole(self._tables["servers"]["servers"])

    @cached_property
    def running(self) -> IntArray:
        """How many are on already, shape (G,)."""
        return _whole(self._tables["servers"]["running"])

    @cached_property
    def device(self) -> IntArray:
        """Device of each group, shape (G,)."""
        return _codes(self._tables["servers"]["device"], self.devices)

    @cached_property
    def free(self) -> FloatArray:
        """Free resources of each server of a group, shape (G, 4)."""
        table = self._tables["servers"][list(RESOURCES)].to_numpy(dtype=np.float64)
        return frozen(table).reshape(-1, len(RESOURCES))

    @cached_property
    def base_kwh(self) -> FloatArray:
        """Base energy of a server that is on [kWh], shape (G,)."""
        return frozen(self._tables["servers"]["base_kw"].to_numpy() * self.period_hours)

    @cached_property
    def intensity(self) -> FloatArray:
        """Carbon intensity at each group [g/kWh], shape (G,)."""
        sites = self._tables["sites"].set_index("site")["zone"]
        zones = sites.reindex(self._tables["servers"]["site"])
        carbon = self._tables["carbon"].set_index("zone")["carbon_g_per_kwh"]
        return frozen(carbon.reindex(zones.to_numpy()))

    @property
    def period_hours(self) -> float:
        """T: length of the period [h]."""
        return float(self.parameters.period_hours)

    @cached_property
    def mean_intensity(self) -> float:
        """Mean carbon intensity of the zones [g/kWh]: that of the energy of moving."""
        return float(self._tables["carbon"]["carbon_g_per_kwh"].mean())

    # -- both ----------------------------------------------------------------------------------

    @cached_property
    def demand(self) -> FloatArray:
        """What one application of a kind takes on a device, shape (K, devices, 4); NaN: never."""
        return self._profile(*RESOURCES)

    @cached_property
    def request_kwh(self) -> FloatArray:
        """Energy of a request of a kind on a device [kWh], shape (K, devices); NaN: never."""
        energy: FloatArray = self._profile("joule_per_request")[:, :, 0] / JOULES_PER_KWH
        return energy

    def _profile(self, *names: str) -> FloatArray:
        table = self._tables["profiles"].set_index(["kind", "device"])[list(names)]
        every = pd.MultiIndex.from_product([self.kinds, self.devices])
        shape = (len(self.kinds), len(self.devices), len(names))
        values: FloatArray = table.reindex(every).to_numpy(dtype=np.float64).reshape(shape)
        values.flags.writeable = False
        return values

    @cached_property
    def rtt_ms(self) -> FloatArray:
        """Round trip from the users of a class to a group [ms], shape (D, G); NaN: no path."""
        table = self._tables["latency"]
        square = table.pivot(index="origin", columns="site", values="rtt_ms")
        origins = square.index.get_indexer(pd.Index(self._tables["applications"]["origin"]))
        sites = square.columns.get_indexer(pd.Index(self._tables["servers"]["site"]))
        known = square.to_numpy(dtype=np.float64)
        found = known[np.maximum(origins, 0)][:, np.maximum(sites, 0)]
        found[:, sites < 0] = np.nan
        found.flags.writeable = False
        return found

    @cached_property
    def arcs(self) -> tuple[IntArray, IntArray]:
        """Classes and groups that may meet, by class and group: near enough, and able to run it."""
        service = self._profile("service_ms")[:, :, 0][self.kind][:, self.device]
        enough = self.demand[:, self.device] <= self.free * (1 + ROOM) + ROOM
        fits = np.asarray(enough.all(axis=2))[self.kind]
        late = self.rtt_ms + service > self.limit_ms[:, None]
        which: NDArray[np.bool_] = ~late & ~np.isnan(self.rtt_ms + service)
        rows, columns = np.nonzero(which & fits)
        return rows.astype(np.int64), columns.astype(np.int64)

    @cached_property
    def arc_kwh(self) -> FloatArray:
        """E: energy of one application on each arc over the period [kWh]."""
        d, g = self.arcs
        energy: FloatArray = self.requests[d] * self.request_kwh[self.kind[d], self.device[g]]
        return energy

    @cached_property
    def placed(self) -> IntArray:
        """How many applications of a class run at a group already, rows (class, group, count)."""
        table = self._tables.get("placed")
        if table is None:
            return np.zeros((0, 3), dtype=np.int64)
        columns = [_codes(table["name"], self.classes), _codes(table["group"], self.groups)]
        return np.stack([*columns, _whole(table["count"])], axis=1)

    def model(self) -> Any:
        """The placement as an ordinary Pyomo model, to edit or to give to another solver."""
        from optmodels.placement.edge.model import concrete_model

        return concrete_model(self)


def _whole(values: pd.Series[Any]) -> IntArray:
    numbers = values.to_numpy(dtype=np.int64).copy()
    numbers.flags.writeable = False
    return numbers


def _codes(values: pd.Series[Any], names: tuple[str, ...]) -> IntArray:
    codes = pd.Index(names).get_indexer(pd.Index(values)).astype(np.int64)
    codes.flags.writeable = False
    return codes
