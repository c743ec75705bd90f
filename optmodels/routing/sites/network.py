"""Round trips between the origins of requests and the sites: measured, bridged, or by distance.

Measurements are a graph: places are its nodes, a measured pair is an edge with its round trip. A
pair that was measured is taken as it is, although the way over a third place is often shorter: that
is how the network routes. A pair that nobody measured can be *bridged* by the shortest way over
places that were, if that is asked for. Where both are known the bridge is usually some 7 % shorter
(over the public measurements, tests/routing/sites/test_network.py), so it tends to promise more
than the network keeps.

Without measurements the line over distance of `optmodels.traces.distance` gives usual round trips.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from optmodels.errors import Flaw, InputError, UsageError
from optmodels.traces.distance import DistanceFit, great_circle_km

if TYPE_CHECKING:
    import networkx as nx

_WEIGHT = "rtt_ms"


def latency_graph(rtt_ms: pd.DataFrame) -> nx.Graph[str]:
    """Graph of measured round trips.

    Parameters
    ----------
    rtt_ms
        Round trips [ms] from place (row) to place (column), NaN where not measured
        (`optmodels.traces.read_latency`).

    Returns
    -------
    Graph
        Places as nodes; edges with the attribute ``rtt_ms``, the mean of the directions that were
        measured.

    Raises
    ------
    InputError
        Round trips that are negative or infinite; places named twice.
    """
    import networkx as nx

    values = rtt_ms.to_numpy(dtype=np.float64)
    flaws = [
        Flaw(f"names several {kind}", field="rtt_ms", value=str(name))
        for kind, index in (("rows", rtt_ms.index), ("columns", rtt_ms.columns))
        for name in index[index.duplicated()].unique()
    ]
    wrong = np.isinf(values) | (values < 0)
    flaws += [
        Flaw(
            "is no round trip",
            field=f"{rtt_ms.index[i]} to {rtt_ms.columns[j]}",
            value=float(values[i, j]),
            allowed="a number >= 0, or none",
        )
        for i, j in np.argwhere(wrong).tolist()
    ]
    if flaws:
        raise InputError(flaws, "round trips")
    graph: nx.Graph[str] = nx.Graph()
    graph.add_nodes_from(str(name) for name in [*rtt_ms.index, *rtt_ms.columns])
    found: dict[tuple[str, str], list[float]] = {}
    for i, j in np.argwhere(np.isfinite(values)).tolist():
        pair = sorted((str(rtt_ms.index[i]), str(rtt_ms.columns[j])))
        found.setdefault((pair[0], pair[1]), []).append(float(values[i, j]))
    for (one, other), times in found.items():
        graph.add_edge(one, other, **{_WEIGHT: sum(times) / len(times)})
    return graph


def measured_links(
    graph: nx.Graph[str],
    origins: Mapping[str, str],
    sites: Mapping[str, str],
    *,
    bridged: bool = False,
) -> pd.DataFrame:
    """Table ``links`` of an instance from measured round trips.

    Parameters
    ----------
    graph
        As `latency_graph` makes it.
    origins, sites
        Node of each origin and of each site, by name. Where both are one node and its own round
        trip was not measured, it is 0.
    bridged
        Whether pairs that were not measured take the shortest way over places that were.

    Returns
    -------
    DataFrame
        ``origin``, ``site``, ``rtt_ms``: one row for every pair.

    Raises
    ------
    UsageError
        A node that the graph does not have.
    InputError
        Pairs that were not measured, or are not connected; all of them together.
    """
    import networkx as nx

    for node in [*origins.values(), *sites.values()]:
        if node not in graph:
            raise UsageError.unknown("place of the network", str(node), graph.nodes)
    rows = []
    flaws = []
    for origin, start in origins.items():
        ways = nx.single_source_dijkstra_path_length(graph, start, weight=_WEIGHT)
        for site, end in sites.items():
            if graph.has_edge(start, end):
                trip = float(graph.edges[start, end][_WEIGHT])
            elif start == end:
                trip = 0.0
            elif bridged and end in ways:
                trip = float(ways[end])
            else:
                what = "is not connected" if bridged else "was not measured"
                fix = None if bridged else "bridged=True takes the shortest way over other places"
                flaws.append(Flaw(what, field="links", value=f"{start} to {end}", fix=fix))
                continue
            rows.append((origin, site, trip))
    if flaws:
        raise InputError(flaws, "round trips of sites")
    return pd.DataFrame(rows, columns=["origin", "site", "rtt_ms"])


def distance_links(origins: pd.DataFrame, sites: pd.DataFrame, fit: DistanceFit) -> pd.DataFrame:
    """Table ``links`` of an instance from where origins and sites are.

    Parameters
    ----------
    origins, sites
        Indexed by name, with columns ``latitude`` and ``longitude`` [degrees].
    fit
        Line over distance; one of `optmodels.traces.distance.FITS` or of ``fit_rtt``.

    Returns
    -------
    DataFrame
        ``origin``, ``site``, ``rtt_ms``: one row for every pair.

    Raises
    ------
    InputError
        Missing or impossible coordinates.
    """
    km = great_circle_km(origins, sites, subject="origins and sites")
    return pd.DataFrame(
        {
            "origin": np.repeat([str(name) for name in km.index], km.shape[1]),
            "site": [str(name) for name in km.columns] * km.shape[0],
            "rtt_ms": fit.rtt_ms(km.to_numpy()).ravel(),
        }
    )
