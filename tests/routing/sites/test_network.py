"""Links between origins and sites: measured pairs as they are, the others only when asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from optmodels.errors import InputError, UsageError
from optmodels.routing.sites.network import distance_links, latency_graph, measured_links
from optmodels.traces import read_latency, read_places
from optmodels.traces.distance import DistanceFit, great_circle_km


def matrix() -> pd.DataFrame:
    """Four places on a line; a to c was measured once and is slower than over b; d is alone."""
    names = list("abcd")
    square = pd.DataFrame(np.nan, index=names, columns=names)
    square.loc["a", "b"], square.loc["b", "a"] = 9.0, 11.0
    square.loc["b", "c"] = 5.0
    square.loc["c", "a"] = 40.0
    return square


def test_measured_pairs_are_taken_as_they_are() -> None:
    """The mean of both directions, one direction where there is one, and no shorter detour."""
    graph = latency_graph(matrix())
    links = measured_links(graph, {"west": "a"}, {"one": "a", "two": "b", "three": "c"})
    assert links.to_numpy().tolist() == [
        ["west", "one", 0.0],
        ["west", "two", 10.0],
        ["west", "three", 40.0],
    ]
    assert measured_links(graph, {"west": "a"}, {"three": "c"}, bridged=True)["rtt_ms"].item() == 40


def test_missing_pairs_are_bridged_only_when_asked_for() -> None:
    """All missing pairs are listed; bridging takes the shortest way; no way stays an error."""
    square = matrix()
    square.loc["c", "a"] = np.nan
    graph = latency_graph(square)
    with pytest.raises(InputError) as caught:
        measured_links(graph, {"west": "a"}, {"three": "c", "four": "d"})
    assert len(caught.value.flaws) == 2
    assert "bridged=True" in str(caught.value)
    links = measured_links(graph, {"west": "a"}, {"three": "c"}, bridged=True)
    assert links["rtt_ms"].item() == 15
    with pytest.raises(InputError, match="a to d' is not connected"):
        measured_links(graph, {"west": "a"}, {"four": "d"}, bridged=True)
    with pytest.raises(UsageError, match="Unknown place"):
        measured_links(graph, {"west": "e"}, {"three": "c"})


def test_impossible_round_trips_are_refused() -> None:
    """Negative and infinite ones, and places that stand twice; all at once."""
    square = matrix()
    square.loc["a", "b"], square.loc["b", "c"] = -1, np.inf
    square = square.rename(index={"d": "c"})
    with pytest.raises(InputError) as caught:
        latency_graph(square)
    assert len(caught.value.flaws) == 3


def test_links_by_distance() -> None:
    """Every pair in the order of origins, then sites."""
    origins = pd.DataFrame({"latitude": [0.0, 0.0], "longitude": [0.0, 10.0]}, index=["x", "y"])
    sites = pd.DataFrame({"latitude": [0.0, 5.0], "longitude": [0.0, 0.0]}, index=["p", "q"])
    fit = DistanceFit(2.0, 0.01, 1.0, 3)
    links = distance_links(origins, sites, fit).set_index(["origin", "site"])["rtt_ms"]
    km = great_circle_km(origins, sites)
    assert links.index.tolist() == [("x", "p"), ("x", "q"), ("y", "p"), ("y", "q")]
    assert links["x", "p"] == 2
    assert links["y", "q"] == pytest.approx(2 + 0.01 * km.loc["y", "q"])


def test_bridges_of_the_public_measurements(shared_data: Path) -> None:
    """Bridging a pair that was measured gives a little less than that, and never beats light.

    If bridges summed hops or another weight, they would be far from it.
    """
    folder = shared_data / "latency" / "wondernetwork_2018"
    graph = latency_graph(read_latency(folder / "rtt_avg_ms_matrix.csv.gz", "matrix"))
    places = read_places(folder / "cities.csv", "cities")
    edges = sorted(edge for edge in graph.edges if edge[0] != edge[1])
    ratios = []
    for one, other in edges[:: len(edges) // 30]:
        measured = graph.edges[one, other]["rtt_ms"]
        graph.remove_edge(one, other)
        trip = measured_links(graph, {one: one}, {other: other}, bridged=True)["rtt_ms"].item()
        graph.add_edge(one, other, rtt_ms=measured)
        km = great_circle_km(places.loc[[one]], places.loc[[other]]).iloc[0, 0]
        assert trip >= 2 * km / 299_792.458 * 1000
        ratios.append(trip / measured)
    assert 0.90 < np.median(ratios) < 0.96
    assert np.quantile(ratios, 0.9) < 1.1
