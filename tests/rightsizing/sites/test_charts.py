"""The chart of sites: bars or a map, with labels and units."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from optmodels.errors import InputError, UsageError
from optmodels.rightsizing.sites.charts import site_chart
from optmodels.rightsizing.sites.optimum import solve
from tests.rightsizing.sites.instances import fleet, small

# Three GPUs at the first site, none at the second.
INST = fleet(
    [[1.0, 0.0], [3.0, 0.0], [3.0, 0.0], [4.0, 8.0]], demand=100.0, nameplate_kw=[6.0, 8.0]
)
PLAN = solve(INST)
PLACES = pd.DataFrame(
    {"site": ["s1", "s0", "far"], "latitude": [60.0, 62.5, 0.0], "longitude": [5.0, 7.0, 0.0]}
)


def test_bars() -> None:
    """Installed GPUs before those that the nameplates could feed."""
    figure = site_chart(INST, PLAN)
    (ax,) = figure.axes
    assert ax.get_xlabel() == "GPUs"
    assert [label.get_text() for label in ax.get_yticklabels()] == ["s0", "s1"]
    most, installed = ([bar.get_width() for bar in bars] for bars in ax.containers)
    assert most == [6.0, 8.0]
    assert installed == [3.0, 0.0]
    assert "3 GPUs" in ax.get_title()
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["nameplate could feed", "installed"]
    figure.savefig(io.BytesIO(), format="png")


def test_map() -> None:
    """A disc at the place of each site that is used, a cross where it is not, in any order."""
    figure = site_chart(INST, PLAN, places=PLACES)
    (ax,) = figure.axes
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("longitude [°]", "latitude [°]")
    disc, cross = ax.collections
    assert np.asarray(disc.get_offsets()).tolist() == [[7.0, 62.5]]
    assert np.asarray(cross.get_offsets()).tolist() == [[5.0, 60.0]]
    assert [text.get_text() for text in ax.texts] == ["s0\n3 GPUs", "s1"]
    figure.savefig(io.BytesIO(), format="png")


def test_own_axes_and_other_plans() -> None:
    """The chart goes where it is told, and refuses a plan of another question."""
    ax = Figure().subplots()
    assert site_chart(INST, PLAN, ax=ax) is ax.figure
    with pytest.raises(UsageError, match="belongs to"):
        site_chart(small(1), PLAN)


@pytest.mark.parametrize(
    ("places", "message"),
    [
        (PLACES.drop(columns="latitude"), "places.latitude"),
        (PLACES.iloc[:1], "has 0 places"),
        (pd.concat([PLACES, PLACES]), "has 2 places"),
        (PLACES.assign(latitude=91.0), "-90 to 90 degrees"),
        (PLACES.assign(longitude="west"), "-180 to 180 degrees"),
    ],
)
def test_places_that_are_none(places: pd.DataFrame, message: str) -> None:
    """Missing, double and impossible places are named."""
    with pytest.raises(InputError, match=message):
        site_chart(INST, PLAN, places=places)
