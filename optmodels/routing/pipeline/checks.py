"""What can be wrong with pipelines although every field by itself is right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optmodels.errors import Flaw
from optmodels.schema import Place

if TYPE_CHECKING:
    from optmodels.routing.pipeline.instance import PipelineParameters

#: Flaws of one kind that are told of one table.
_MOST = 20

Flags = NDArray[np.bool_]


def busy_flaws(p: PipelineParameters) -> list[Flaw]:
    """GPUs that may be busy all the time, where latency is counted at that load."""
    if p.latency_at == "unloaded" or p.gpu_busy_max < 1:
        return []
    return [
        Flaw(
            "leaves no finite latency",
            field="gpu_busy_max",
            value=p.gpu_busy_max,
            allowed="below 1 with latency_at 'busy'",
            fix="lower it, or count the latency 'unloaded'",
        )
    ]


def host_flaws(hosts: pd.DataFrame, place: Place) -> list[Flaw]:
    """GPUDirect without a GPU, or without RDMA."""
    rank = {"none": 0, "offered": 1, "installed": 2}
    direct = hosts["gpudirect"].map(rank).to_numpy()
    flaws = _rows(
        (direct > 0) & (hosts["gpus"].to_numpy() == 0),
        hosts["gpudirect"],
        place,
        "needs a GPU, of which the host has none",
        allowed="none",
        fix="write 'none', or give the host GPUs",
    )
    return flaws + _rows(
        direct > hosts["rdma"].map(rank).to_numpy(),
        hosts["gpudirect"],
        place,
        "goes further than the RDMA that it builds on",
        allowed="at most what the column 'rdma' says",
        fix="offer or install RDMA at this host, too",
    )


def link_flaws(links: pd.DataFrame, hosts: pd.DataFrame, place: Place) -> list[Flaw]:
    """Links to nowhere, to the same host, or given in both directions."""
    flaws = []
    for name in ("host_a", "host_b"):
        flaws += _unknown(links[name], hosts["host"], place, "a host", "hosts")
    flaws += _rows(
        (links["host_a"] == links["host_b"]).to_numpy(),
        links["host_a"],
        place,
        "is linked with itself",
        fix="remove the row: stages on one host share memory",
    )
    pairs = [tuple(sorted(pair)) for pair in zip(links["host_a"], links["host_b"], strict=True)]
    return flaws + _rows(
        pd.Series(pairs, dtype=object).duplicated().to_numpy(),
        links["host_a"] + " and " + links["host_b"],
        place,
        "are linked already",
        allowed="one row per pair of hosts, whichever comes first",
        fix="keep one of the rows: a link is the same both ways",
    )


def stage_flaws(tables: Mapping[str, pd.DataFrame], places: Mapping[str, Place]) -> list[Flaw]:
    """Stages of unknown services, chains with holes or of one stage, relays at an end, bad ties."""
    stages, services, place = tables["stages"], tables["services"], places["stages"]
    flaws = _unknown(stages["service"], services["service"], place, "a service", "services")
    chains = {
        str(name): sorted(group.tolist())
        for name, group in stages.groupby("service", sort=False)["position"]
    }
    relays = set(
        zip(
            stages["service"][stages["kind"] == "relay"],
            stages["position"][stages["kind"] == "relay"],
            strict=True,
        )
    )
    for name in services["service"]:
        positions = chains.get(str(name), [])
        if len(positions) < 2 or positions != list(range(1, len(positions) + 1)):
            shown = ", ".join(map(str, positions[:_MOST])) or "none"
            flaws.append(
                Flaw(
                    f"of '{name}' are {shown}",
                    file=place.file,
                    field="position",
                    allowed="1, 2, 3 and so on, at least two",
                )
            )
            continue
        flaws += [
            Flaw(
                f"of '{name}' is a relay",
                file=place.file,
                field="kind",
                value=f"position {end}",
                allowed="compute: a request starts and ends where its payload is made or used",
            )
            for end in (1, positions[-1])
            if (name, end) in relays
        ]
    if "ties" in tables:
        flaws += _tie_flaws(tables["ties"], chains, places["ties"])
    return flaws[: 2 * _MOST]


def _tie_flaws(ties: pd.DataFrame, chains: Mapping[str, list[int]], place: Place) -> list[Flaw]:
    pairs = zip(ties["service"], ties["position"], ties["with_position"], strict=True)
    flaws = []
    for i, (service, later, earlier) in enumerate(pairs):
        if int(later) not in chains.get(str(service), []) or not int(earlier) < int(later):
            flaws.append(
                Flaw(
                    "is no pair of stages",
                    file=place.file,
                    row=place.row(i),
                    field="position, with_position",
                    value=f"{service}: {later}, {earlier}",
                    allowed="two positions of the service, the later one first",
                )
            )
    return flaws[:_MOST]


def candidate_flaws(tables: Mapping[str, pd.DataFrame], places: Mapping[str, Place]) -> list[Flaw]:
    """Places that are no hosts, GPUs that are not there, relays on GPUs, stages without a place."""
    found, place = tables["candidates"], places["candidates"]
    hosts, stages = tables["hosts"], tables["stages"]
    flaws = _unknown(found["host"], hosts["host"], place, "a host", "hosts")
    kinds = {
        (str(s), int(p)): str(kind)
        for s, p, kind in zip(stages["service"], stages["position"], stages["kind"], strict=True)
    }
    keys = [(str(s), int(p)) for s, p in zip(found["service"], found["position"], strict=True)]
    named = pd.Series([f"{s}, position {p}" for s, p in keys], dtype=object)
    flaws += _rows(
        np.array([key not in kinds for key in keys], dtype=bool),
        named,
        place,
        "is not a stage",
        allowed="services and positions of the table 'stages'",
    )
    gpus = dict(zip(hosts["host"], hosts["gpus"], strict=True))
    on_gpu = (found["device"] == "gpu").to_numpy()
    flaws += _rows(
        on_gpu & np.array([gpus.get(host, 1) == 0 for host in found["host"]], dtype=bool),
        found["host"],
        place,
        "has no GPU",
        fix="write 'cpu', or give the host GPUs",
    )
    flaws += _rows(
        on_gpu & np.array([kinds.get(key) == "relay" for key in keys], dtype=bool),
        named,
        place,
        "is a relay on a GPU",
        allowed="cpu",
    )
    have = set(keys)
    flaws += [
        Flaw("has no candidate", file=place.file, value=f"{s}, position {p}", fix="add a row")
        for s, p in list(dict.fromkeys(key for key in kinds if key not in have))[:_MOST]
    ]
    return flaws


def _unknown(given: pd.Series, known: pd.Series, place: Place, what: str, table: str) -> list[Flaw]:
    return _rows(
        ~given.isin(set(known)).to_numpy(),
        given,
        place,
        f"is not {what}",
        allowed=", ".join(str(name) for name in known[:_MOST]),
        fix=f"add it to the table '{table}', or remove its rows",
    )


def _rows(
    wrong: Flags,
    values: pd.Series,
    place: Place,
    what: str,
    allowed: str | None = None,
    fix: str | None = None,
) -> list[Flaw]:
    """A flaw for each wrong row."""
    return [
        Flaw(
            what,
            file=place.file,
            row=place.row(i),
            field=None if values.name is None else str(values.name),
            value=str(values.iloc[i]),
            allowed=allowed,
            fix=fix,
        )
        for i in np.flatnonzero(wrong)[:_MOST].tolist()
    ]
