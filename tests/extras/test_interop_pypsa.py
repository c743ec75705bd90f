"""Wind of PyPSA networks: units, clocks, weightings, and what the networks cannot say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import optmodels as om
from optmodels.errors import InputError, UsageError
from optmodels.interop import from_pypsa, wind_series
from optmodels.routing.sites.from_wind import from_wind
from optmodels.routing.sites.network import distance_links
from optmodels.traces.distance import FITS, GCP_REGIONS, great_circle_km

# Importing PyPSA and adding components warns of pandas 3, which is PyPSA's to settle.
pytestmark = [
    pytest.mark.filterwarnings("ignore:pandas infers:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*:DeprecationWarning:pypsa.*"),
]
pypsa = pytest.importorskip("pypsa", reason="the extra 'interop' is not installed")

HOURS = 48
SHARE = np.random.default_rng(0).uniform(0, 1, (HOURS, 3)).round(3)


def network(*, start="2023-01-01", **changes):
    """Three wind farms at two buses, and a gas turbine."""
    made = pypsa.Network(name="coast")
    made.set_snapshots(pd.date_range(start, periods=HOURS, freq="h"))
    made.add("Carrier", ["onwind", "offwind-ac", "gas"])
    made.add("Bus", ["north", "south"], x=[8.0, 10.0], y=[54.0, 48.5])
    given = {
        "bus": ["north", "north", "south"],
        "carrier": ["onwind", "offwind-ac", "onwind"],
        "p_nom": [3.0, 5.0, 2.0],
        "p_max_pu": SHARE,
        **changes,
    }
    made.add("Generator", ["n-on", "n-off", "s-on"], **given)
    made.add("Generator", "turbine", bus="north", carrier="gas", p_nom=50.0)
    return made


def test_power_is_nominal_times_share_in_kw() -> None:
    """3 MW at a share of a half are 1,500 kW; the gas turbine is no site."""
    wind = wind_series(network(), tz="UTC")
    assert list(wind.power_kw.columns) == ["n-on", "n-off", "s-on"]
    np.testing.assert_allclose(wind.power_kw, SHARE * [3000.0, 5000.0, 2000.0], rtol=1e-14)
    assert wind.nameplate_kw == {"n-on": 3000.0, "n-off": 5000.0, "s-on": 2000.0}
    assert wind.places.loc["s-on"].tolist() == ["south", 48.5, 10.0]
    assert str(wind.power_kw.index.tz) == "UTC"


def test_generators_of_a_bus_add_up() -> None:
    """By bus the power of its generators is summed, and so is their size."""
    wind = wind_series(network(), tz="UTC", by="bus")
    north = SHARE[:, 0] * 3000 + SHARE[:, 1] * 5000
    np.testing.assert_allclose(wind.power_kw["north"], north, rtol=1e-14)
    assert wind.nameplate_kw == {"north": 8000.0, "south": 2000.0}
    assert list(wind.places.index) == ["north", "south"]


def test_local_clock() -> None:
    """Snapshots of a zone are moved to UTC; the hour that its clock skips or repeats is refused."""
    wind = wind_series(network(), tz="Europe/Berlin")
    assert wind.power_kw.index[0] == pd.Timestamp("2022-12-31T23:00Z")
    for day, hour in (("2023-03-26", "02:00"), ("2023-10-29", "02:00")):
        with pytest.raises(InputError, match=f"{day} {hour}.*does not exist once in Europe/Berlin"):
            wind_series(network(start=day), tz="Europe/Berlin")
    with pytest.raises(UsageError, match="no time zone"):
        wind_series(network())


def test_from_network_to_decision() -> None:
    """An instance as from the same series by hand; round trips follow from the coordinates."""
    instance = from_pypsa(network(), tz="UTC", demand_gpus=900.0, carriers=["onwind"], name="coast")
    assert instance.sites == ("n-on", "s-on")
    np.testing.assert_array_equal(instance.power_kw, SHARE[:, [0, 2]] * [3000.0, 2000.0])
    here = pd.DataFrame({"latitude": [54.0], "longitude": [8.0]}, index=["n-on"])
    km = great_circle_km(here, GCP_REGIONS).to_numpy().min()
    told = instance.tables["sites"].set_index("site")["rtt_ms"]["n-on"]
    assert told == pytest.approx(float(FITS["europe"].rtt_ms(km)), rel=1e-12)
    assert "PyPSA: coast" in instance.origin
    plan = om.solve(instance)
    assert plan.status == "optimal"
    other = from_pypsa(
        network(), tz="UTC", demand_gpus=900.0, rtt_ms=5.0, judged_from="2023-01-02T00:00Z"
    )
    assert other.past_kw.shape == (24, 3)


def test_wind_for_the_router() -> None:
    """The same series make an instance of routing.sites."""
    wind = wind_series(network(), tz="UTC", by="bus")
    places = wind.places[["latitude", "longitude"]]
    users = places.iloc[:1].rename({"north": "users"})
    links = distance_links(users, places, FITS["europe"])
    instance = from_wind(
        wind.power_kw,
        nameplate_kw=wind.nameplate_kw,
        links=links,
        gpus=64,
        days=0.25,
        past_days=0,
        period_seconds=900,
    )
    assert instance.problem == "routing.sites"
    assert len(instance.tables["power"]) == 24 * 2


def test_weightings_are_the_length_of_a_snapshot() -> None:
    """A clustered network, whose days stand for seasons, is no series of hours."""
    clustered = network()
    clustered.snapshot_weightings.loc[:, :] = 182.0
    with pytest.raises(
        InputError, match=r"(?s)weightings\.generators'.*182.*weightings\.objective"
    ):
        wind_series(clustered, tz="UTC")
    assert len(wind_series(clustered, tz="UTC", weightings="ignore").power_kw) == HOURS
    every_third = network()
    every_third.set_snapshots(every_third.snapshots[::3])
    with pytest.raises(InputError, match=r"allowed: 3, the hours"):
        wind_series(every_third, tz="UTC")
    every_third.snapshot_weightings.loc[:, :] = 3.0
    instance = from_pypsa(every_third, tz="UTC", demand_gpus=100.0)
    assert instance.parameters.slot_minutes == 180


def test_all_flaws_at_once() -> None:
    """Sizes that are open, shares that are no numbers and missing series are told together."""
    broken = network(p_nom=[0.0, 5.0, 2.0], p_nom_extendable=[True, False, False])
    broken.generators_t.p_max_pu.loc[broken.snapshots[3], "s-on"] = np.nan
    del broken.generators_t.p_max_pu["n-off"]
    with pytest.raises(InputError) as told:
        wind_series(broken, tz="UTC")
    text = str(told.value)
    assert "p_nom of n-on" in text
    assert "capacity='p_nom_opt'" in text
    assert "no series for n-off" in text
    assert "p_max_pu of s-on" in text
    broken = network(p_nom=[0.0, 5.0, 2.0], p_nom_opt=[4.0, 5.0, 2.0])
    assert wind_series(broken, tz="UTC", capacity="p_nom_opt").nameplate_kw["n-on"] == 4000


def test_buses_without_coordinates() -> None:
    """PyPSA puts them at 0, 0, where there is no land: a round trip from there is no fact."""
    nowhere = network()
    nowhere.buses.loc["south", ["x", "y"]] = 0.0
    with pytest.raises(InputError, match=r"bus south.*has no coordinates"):
        from_pypsa(nowhere, tz="UTC", demand_gpus=10.0)
    assert from_pypsa(nowhere, tz="UTC", demand_gpus=10.0, rtt_ms=8.0).sites[2] == "s-on"


def test_refusals() -> None:
    """Unknown carriers, networks without wind, several periods, no network at all."""
    with pytest.raises(UsageError, match=r"Unknown carrier 'onwnd'\. Did you mean 'onwind'"):
        wind_series(network(), tz="UTC", carriers=["onwnd"])
    with pytest.raises(UsageError, match="Known: breeze, gas"):
        wind_series(network(carrier=["breeze"] * 3), tz="UTC")
    with pytest.raises(UsageError, match="No active generator"):
        wind_series(network(active=[False] * 3), tz="UTC")
    with pytest.raises(UsageError, match="is not a network of PyPSA"):
        wind_series({}, tz="UTC")
    with pytest.raises(UsageError, match="Unknown fit"):
        from_pypsa(network(), tz="UTC", demand_gpus=1.0, region_fit="moon")
    periods = network()
    periods.investment_periods = [2030, 2040]
    with pytest.raises(UsageError, match="several investment periods"):
        wind_series(periods, tz="UTC")
    plain = pypsa.Network()
    plain.add("Bus", "a")
    plain.add("Generator", "w", bus="a", carrier="wind", p_nom=1.0)
    with pytest.raises(InputError, match="are no times"):
        wind_series(plain, tz="UTC")
