"""Round trips and places: the right direction, nothing guessed, every flaw listed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from optmodels.errors import InputError, UsageError
from optmodels.traces import read_latency, read_places


def test_pairs_keep_their_direction(tmp_path: Path) -> None:
    """Rows send, columns receive; what was not measured is NaN, not zero."""
    file = tmp_path / "pairs.csv"
    file.write_text("sending_region,receiving_region,milliseconds\nb,a,7\na,b,5\nc,a,9.5\n")
    square = read_latency(file, "pairs")
    assert square.index.tolist() == square.columns.tolist() == ["a", "b", "c"]
    assert square.loc["b", "a"] == 7
    assert square.loc["a", "b"] == 5
    assert np.isnan(square["c"]["a"])
    assert int(square.isna().to_numpy().sum()) == 6


def test_matrix(tmp_path: Path) -> None:
    """The first column sends; names that only send or only receive are places, too."""
    file = tmp_path / "matrix.csv"
    file.write_text("avg_rtt_ms,x,y\ny,4,\nz,2,3\n")
    square = read_latency(file, "matrix")
    assert square.index.tolist() == ["x", "y", "z"]
    assert (square.loc["y", "x"], square.loc["z", "y"]) == (4, 3)
    assert np.isnan(square["y"]["y"])


def test_flaws_of_round_trips(tmp_path: Path) -> None:
    """Doubled pairs, negative and missing times of pairs; doubled rows and columns of a matrix."""
    file = tmp_path / "bad.csv"
    head = "sending_region,receiving_region,milliseconds\n"
    file.write_text(head + "a,b,5\na,b,6\nb,a,-1\nc,a,\n")
    with pytest.raises(InputError) as caught:
        read_latency(file, "pairs")
    assert sorted(flaw.row or 0 for flaw in caught.value.flaws) == [3, 4, 5]
    file.write_text("rtt,x,y\nx,1,2\nx,3,far\n")
    with pytest.raises(InputError) as caught:
        read_latency(file, "matrix")
    assert {(flaw.row, flaw.field) for flaw in caught.value.flaws} == {(3, "y"), (3, None)}
    file.write_text("rtt,x,x\nx,1,2\n")
    with pytest.raises(InputError, match="more than once in the header"):
        read_latency(file, "matrix")
    for text in (head, "rtt\n"):
        file.write_text(text)
        with pytest.raises(InputError, match="no rows"):
            read_latency(file, "pairs" if text == head else "matrix")
    with pytest.raises(UsageError, match="Did you mean"):
        read_latency(file, "pair")  # type: ignore[arg-type]


def test_places(tmp_path: Path) -> None:
    """Both formats give degrees by name, in the order of the file."""
    cities = tmp_path / "cities.csv"
    cities.write_text("city,Lat,Long,Population\nOslo,59.9,10.7,1\nLima,-12,-77,2\n")
    regions = tmp_path / "regions.json"
    regions.write_text(
        '{"oslo": {"Latitude": "59.9", "Longitude": "10.7"}, '
        '"lima": {"Latitude": "-12", "Longitude": "-77"}}'
    )
    for frame in (read_places(cities, "cities"), read_places(regions, "azure-regions")):
        assert [str(name).lower() for name in frame.index] == ["oslo", "lima"]
        assert frame.to_numpy().tolist() == [[59.9, 10.7], [-12, -77]]
        assert list(frame.columns) == ["latitude", "longitude"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[1]", "another kind of JSON"),
        ("{", "not a JSON text"),
        ("[" * 100_000, "not a JSON text"),
        ("{}", "no places"),
        ('{"a": {"Latitude": "95", "Longitude": "x"}, "b": 3}', "4 problems"),
    ],
)
def test_flaws_of_regions(tmp_path: Path, text: str, words: str) -> None:
    """Broken JSON, other JSON and impossible angles are refused with all their places."""
    file = tmp_path / "regions.json"
    file.write_text(text)
    with pytest.raises(InputError, match=words):
        read_places(file, "azure-regions")


def test_flaws_of_cities(tmp_path: Path) -> None:
    """A city twice, an impossible latitude; a file that is not there; an unknown format."""
    file = tmp_path / "cities.csv"
    file.write_text("city,Lat,Long\nOslo,59.9,10.7\nOslo,99,10.7\n")
    with pytest.raises(InputError) as caught:
        read_places(file, "cities")
    assert len(caught.value.flaws) == 2
    with pytest.raises(InputError, match="cannot be read"):
        read_places(tmp_path / "none.json", "azure-regions")
    with pytest.raises(UsageError, match="Did you mean"):
        read_places(file, "city")  # type: ignore[arg-type]


def test_real_files(shared_data: Path) -> None:
    """34 regions of Google, 241 cities of WonderNetwork, 55 of Azure; a zone twice is refused."""
    folder = shared_data / "latency"
    pairs = read_latency(folder / "gcp" / "raw_gcp_latency.csv", "pairs")
    assert pairs.shape == (34, 34)
    assert int(pairs.notna().to_numpy().sum()) == 34 * 33
    assert pairs.loc["europe-southwest1", "australia-southeast2"] == 299
    matrix = read_latency(folder / "wondernetwork_2018" / "rtt_avg_ms_matrix.csv.gz", "matrix")
    assert matrix.shape == (241, 241)
    assert int(matrix.isna().to_numpy().sum()) == 754
    assert matrix.loc["Adelaide", "Albany"] == 266.75
    cities = read_places(folder / "wondernetwork_2018" / "cities.csv", "cities")
    assert set(cities.index) == set(matrix.index)
    assert len(read_places(folder / "sites" / "azure-regions.json", "azure-regions")) == 55
    with pytest.raises(InputError, match="US-MIDA-PJM"):
        read_latency(folder / "gcp" / "gcp_latency_matrix.csv", "matrix")
