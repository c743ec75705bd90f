"""The data of a cluster: what it means, and every flaw that makes it unusable."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from optmodels.errors import InputError
from optmodels.scaling.cluster.instance import ClusterInstance
from tests.scaling.cluster.instances import START, cluster, small

ELASTIC = (("a", 1, 1.0, 0.0), ("a", 2, 1.8, 3.0), ("a", 3, 2.4, 6.0))


def test_what_the_tables_mean() -> None:
    """Jobs come in the order of arrival, codes point to queues and profiles, due slots follow."""
    made = cluster(
        np.arange(1.0, 41.0),
        [(5, 2.5, "slow", "a"), (0, 3, "fast", "b"), (5, 1 + 1e-14, "fast", "a")],
        queues=[("slow", 6, 4.0), ("fast", 0, 2.0)],
        profiles=(*ELASTIC, ("b", 2, 1.0, 1.5), ("b", 3, 1.25, 2.0)),
        network_w_per_gbps=2.0,
        server_kw=0.5,
    )
    jobs = made.jobs
    assert jobs.number.tolist() == [1, 0, 2]
    assert jobs.arrival.tolist() == [0, 5, 5]
    assert [made.queues.names[code] for code in jobs.queue] == ["fast", "slow", "fast"]
    assert [made.profiles[code].name for code in jobs.profile] == ["b", "a", "a"]
    # Arrival, whole length and delay; a length of 1 but for its last digit is 1.
    assert made.due.tolist() == [0 + 3 + 0, 5 + 3 + 6, 5 + 1 + 0]
    profile = made.profiles[jobs.profile[0]]
    assert (profile.fewest, profile.most) == (2, 3)
    assert profile.marginal.tolist() == [1.0, 0.25]
    # Half a kW per server and 2 W per Gbps.
    assert made.level_power_kw[jobs.profile[1]] == pytest.approx([0.5, 1.006, 1.512])
    # The price of a slot: all servers of the job at the highest intensity.
    assert made.late_g_per_slot == pytest.approx([3 * 0.5 * 40] * 3)


def test_carbon_repeats_its_last_day() -> None:
    """After the series the last day comes again and again, from its first hour on."""
    made = cluster(np.arange(1.0, 31.0), [(0, 1)])
    assert made.carbon_until(33).tolist()[-4:] == [30, 7, 8, 9]
    assert made.carbon_until(30 + 25)[30:].tolist() == [*range(7, 31), 7]
    assert made.carbon_until(3).tolist() == [1, 2, 3]
    short = cluster([1.0, 2.0], [(0, 1)])
    assert short.carbon_until(5).tolist() == [1, 2, 1, 2, 1]


def test_arrays_are_read_only() -> None:
    """Nobody who holds an instance can change it."""
    made = small(1, past=True)
    for array in (made.carbon, made.jobs.length, made.jobs.arrival, made.due, made.past_carbon):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


@pytest.mark.parametrize("table_format", ["csv", "parquet"])
@pytest.mark.parametrize("past", [False, True])
def test_saved_and_loaded(tmp_path, table_format: str, past: bool) -> None:  # type: ignore[no-untyped-def]
    """What comes back from a folder is the same instance, job by job."""
    if table_format == "parquet":
        pytest.importorskip("pyarrow")
    made = small(3, past=past, start_kwh=0.01, zone="XX", quantity="direct")
    made.save(tmp_path / "case", table_format=table_format)
    again = ClusterInstance.load(tmp_path / "case")
    assert again == made
    assert again.parameters == made.parameters
    for name in ("number", "arrival", "length", "queue", "profile"):
        assert np.array_equal(getattr(again.jobs, name), getattr(made.jobs, name))
    assert np.array_equal(again.carbon, made.carbon)


def tables_of(made: ClusterInstance) -> dict[str, pd.DataFrame]:
    """Tables to be broken."""
    return {name: frame.copy() for name, frame in made.tables.items()}


def broken(change) -> InputError:  # type: ignore[no-untyped-def]
    """What is said about a cluster with this change to its tables or parameters."""
    made = cluster(
        np.full(30, 100.0),
        [(0, 2, "q", "a"), (3, 4, "q", "b")],
        queues=[("q", 6, 4.0)],
        profiles=(*ELASTIC, ("b", 2, 1.0, 0.0), ("b", 3, 1.25, 0.0)),
        past_carbon=np.full(10, 90.0),
        past_jobs=[(0, 2, "q", "a")],
    )
    tables, parameters = tables_of(made), made.parameters.model_dump()
    change(tables, parameters)
    with pytest.raises(InputError) as caught:
        ClusterInstance(parameters, tables)
    return caught.value


def put(table: str, row: int, column: str, value: object):  # type: ignore[no-untyped-def]
    """A change of one cell."""

    def change(tables: dict[str, pd.DataFrame], parameters: dict[str, object]) -> None:
        del parameters
        frame = tables[table]
        tables[table] = frame.assign(
            **{column: [value if i == row else v for i, v in enumerate(frame[column])]}
        )

    return change


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        (put("profiles", 1, "servers", 5), "servers", "stands more than once|follows a gap"),
        (put("profiles", 2, "servers", 4), "servers", "follows a gap"),
        (put("profiles", 0, "throughput", 2.0), "throughput", "not the unit of work"),
        (put("profiles", 2, "throughput", 2.7), "throughput", "gains more per server"),
        (put("profiles", 2, "throughput", 1.7), "throughput", "falls"),
        (put("profiles", 4, "throughput", 1.6), "throughput", "gains more per server"),
        (put("profiles", 0, "network_gbps", -1.0), "network_gbps", "too small"),
        (put("jobs", 1, "queue", "p"), "queue", "no queue of this cluster"),
        (put("jobs", 1, "profile", "c"), "profile", "no profile of this cluster"),
        (put("past_jobs", 0, "profile", "c"), "profile", "no profile of this cluster"),
        (put("jobs", 1, "job", 0), "job", "twice|more than once|repeated"),
        (put("jobs", 1, "length_slots", 0.0), "length_slots", "too small"),
        (put("jobs", 1, "length_slots", np.inf), "length_slots", "not finite"),
        (put("jobs", 1, "length_slots", 22.0), None, "job 1 may run until slot 31"),
        (put("jobs", 1, "arrival_slot", -1), "arrival_slot", "too small"),
        (put("queues", 0, "delay_slots", -1), "delay_slots", "too small"),
        (put("queues", 0, "mean_length_slots", 0.0), "mean_length_slots", "too small"),
        (put("queues", 0, "delay_slots", 24), None, "at least 31 rows"),
        (put("carbon", 5, "carbon_g_per_kwh", -1.0), "carbon_g_per_kwh", "too small"),
        (put("carbon", 5, "carbon_g_per_kwh", np.nan), "carbon_g_per_kwh", "missing"),
        (put("carbon", 5, "time", START), "time", "twice|more than once|repeated|follows"),
        (put("past_carbon", 9, "time", START + pd.Timedelta("2h")), "time", "follows a gap"),
        (lambda t, _: t.pop("past_carbon"), "table 'past_carbon'", "missing beside"),
        (lambda t, _: t.pop("queues"), None, "queues"),
        (lambda _, p: p.update(capacity=1), "servers", "more than the cluster has"),
        (lambda _, p: p.update(capacity=0), "capacity", "1"),
        (lambda _, p: p.update(server_kw=0), "server_kw", "0"),
        (lambda _, p: p.update(late_factor=-1), "late_factor", "0"),
        (lambda _, p: p.update(start_kwh=-1), "start_kwh", "0"),
        (lambda _, p: p.update(quantity="some"), "quantity", "direct"),
        (lambda _, p: p.update(slot_minutes=30), "time", "follows a gap"),
    ],
)
def test_every_flaw_is_named(change, field: str | None, words: str) -> None:  # type: ignore[no-untyped-def]
    """One flaw, its field and its words."""
    error = broken(change)
    hits = [flaw for flaw in error.flaws if field is None or field in (flaw.field or "")]
    assert hits, error
    assert pytest.importorskip("re").search(words, "\n".join(map(str, hits))), error


def test_all_flaws_at_once() -> None:
    """Flaws of several tables, one message, each with its row."""

    def change(tables: dict[str, pd.DataFrame], parameters: dict[str, object]) -> None:
        for one in (
            put("profiles", 2, "throughput", 1.7),
            put("profiles", 3, "throughput", 2.0),
            put("jobs", 1, "queue", "p"),
            put("jobs", 0, "profile", "c"),
            put("past_jobs", 0, "queue", "p"),
        ):
            one(tables, parameters)

    error = broken(change)
    found = {(flaw.file, flaw.row, flaw.field) for flaw in error.flaws}
    assert found >= {
        ("table 'profiles'", 4, "throughput"),
        ("table 'profiles'", 5, "throughput"),
        ("table 'jobs'", 3, "queue"),
        ("table 'jobs'", 2, "profile"),
        ("table 'past_jobs'", 2, "queue"),
    }, error


def test_past_may_be_carbon_alone() -> None:
    """An earlier carbon series without jobs is allowed; the other way round it is not."""
    made = cluster([1.0, 2.0], [(0, 1)], past_carbon=[3.0, 4.0])
    assert made.past_jobs is None
    assert made.past_carbon.tolist() == [3, 4]
