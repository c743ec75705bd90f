"""Served models under load: what copies, clients and priorities do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.errors import UsageError
from optmodels.routing.pipeline.catalogue import MODELS, ServedModel
from optmodels.routing.pipeline.mva import response_bound, throughput_bound
from optmodels.routing.pipeline.serving import (
    STATIONS,
    Serving,
    interference_for,
    partitioned_ms,
    prioritised,
    with_interference,
)

NAMES = tuple(MODELS)
TCP, RDMA, DIRECT = (("tcp",), ("rdma",), ("gpudirect",))


def saved_ms(model: ServedModel, clients: int, eta: float) -> float:
    """What GPUDirect saves against TCP in the closed model [ms]."""
    tcp, direct = (with_interference(Serving(model, hops), eta) for hops in (TCP, DIRECT))
    return tcp.response_ms(clients) - direct.response_ms(clients)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("hops", [TCP, RDMA, DIRECT, ("tcp", "rdma"), ("rdma", "gpudirect")])
def test_a_lone_client_has_the_latency_of_a_lone_request(name: str, hops) -> None:
    """One client disturbs nobody: the closed model starts at the unloaded latency, and the open."""
    serving = Serving(MODELS[name], hops)
    assert serving.response_ms(1) == pytest.approx(serving.alone_ms, rel=1e-12)
    assert serving.open_ms(1e-9) == pytest.approx(serving.alone_ms, rel=1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("clients", [1, 2, 7, 16])
def test_closed_model_keeps_the_laws(name: str, clients: int) -> None:
    """Little's law, and both asymptotic bounds."""
    serving = Serving(MODELS[name], ("tcp", "rdma"))
    found = serving.closed(clients)
    x, think = float(found.throughput[0]), serving.elsewhere_ms
    demands = serving.demands(clients)
    assert x * serving.response_ms(clients) == pytest.approx(clients, rel=1e-9)
    assert x <= throughput_bound(demands, clients, think) * (1 + 1e-12)
    assert found.response[0] >= response_bound(demands, clients, think) * (1 - 1e-12)


@pytest.mark.parametrize("name", ["ResNet50", "WideResNet101", "YoloV4", "DeepLabV3"])
def test_without_interference_the_saving_vanishes(name: str) -> None:
    """Copies as a station of their own only: at saturation the GPU alone counts.

    A model without the interference term would claim this; the measured gains contradict it.
    """
    few, many = saved_ms(MODELS[name], 1, 0.0), saved_ms(MODELS[name], 150, 0.0)
    assert few > 0.1
    assert abs(many) < 1e-6 * few


@pytest.mark.parametrize("name", ["ResNet50", "YoloV4", "DeepLabV3"])
def test_saving_at_saturation_grows_with_clients_times_interference(name: str) -> None:
    """(N - 1) η T_copies: twice the interference saves twice as much, and so do the others."""
    model = MODELS[name]
    copies = Serving(model, TCP).copies_ms
    for eta in (0.5, 1.0, 2.0):
        for clients in (60, 120):
            expected = (clients - 1) * eta * copies
            assert saved_ms(model, clients, eta) == pytest.approx(expected, rel=2e-2)


@given(st.integers(1, 40), st.floats(0, 3), st.floats(0, 3))
@settings(deadline=None, derandomize=True, max_examples=40)
def test_more_interference_never_helps(clients: int, eta: float, more: float) -> None:
    """Responses over TCP rise with η; GPUDirect does not know it."""
    tcp, direct = (Serving(MODELS["YoloV4"], hops) for hops in (TCP, DIRECT))
    low, high = (with_interference(tcp, e).response_ms(clients) for e in (eta, eta + more))
    assert high >= low * (1 - 1e-12)
    assert with_interference(direct, eta).response_ms(clients) == direct.response_ms(clients)


def test_the_interference_for_a_saving_gives_that_saving() -> None:
    """The inverse of the model: what η would have to be."""
    slow, fast = Serving(MODELS["DeepLabV3"], TCP), Serving(MODELS["DeepLabV3"], DIRECT)
    eta = interference_for(70.0, slow, fast, 16)
    assert saved_ms(MODELS["DeepLabV3"], 16, eta) == pytest.approx(70.0, rel=1e-6)
    assert np.isnan(interference_for(1e9, slow, fast, 16))
    assert np.isnan(interference_for(70.0, slow, fast, 1))


def test_serial_execution_disturbs_nobody_but_queues_copies() -> None:
    """One request after another: the GPU is held for copies as well, and η does not matter."""
    model = MODELS["ResNet50"]
    serial = Serving(model, TCP, sharing="serial")
    assert serial.response_ms(8) == with_interference(serial, 9.0).response_ms(8)
    copies = serial.copies_ms
    assert serial.demands(8)[2] == pytest.approx(model.infer_ms + copies)
    calm = with_interference(Serving(model, TCP), 0.0)
    assert serial.response_ms(16) > calm.response_ms(16)
    wild = with_interference(Serving(model, TCP), 3.0)
    assert serial.response_ms(16) < wild.response_ms(16)


def test_contexts_cost_their_switches() -> None:
    """Time slices take a share of the GPU as soon as there are two clients."""
    streams = Serving(MODELS["ResNet50"], DIRECT)
    contexts = replace(streams, sharing="contexts", switch_share=0.1)
    assert contexts.response_ms(1) == streams.response_ms(1)
    assert contexts.saturated_ms() == pytest.approx(streams.saturated_ms() / 0.9)


def test_open_load_by_hand() -> None:
    """ResNet50 over TCP at 100 requests/s: shared GPU and links, copies in order."""
    serving = Serving(MODELS["ResNet50"], TCP)
    up, down = 0.010 + 602_112 / 11e6, 0.010 + 4_000 / 11e6
    rate = 0.1
    gpu = 4.5 / (1 - rate * (4.5 + up + down))
    copies = sum(t + rate * t * t / 2 / (1 - rate * t) for t in (up, down))
    links = sum(t / (1 - rate * t) for t in (602_112 / 1.05e6, 4_000 / 1.05e6))
    assert serving.open_ms(100) == pytest.approx(gpu + copies + links + 0.12, rel=1e-12)
    assert serving.open_ms(219) == np.inf


def test_priority_inversion_needs_copies() -> None:
    """Copies of others delay a client with priority over TCP and RDMA, and not over GPUDirect."""
    model = MODELS["DeepLabV3"]
    for hops in (TCP, RDMA):
        one = Serving(model, hops)
        low, high = (prioritised(one, 2.0, one, rate) for rate in (2.0, 6.0))
        assert 0 < low.inversion_ms < high.inversion_ms
    direct = Serving(model, DIRECT)
    assert prioritised(direct, 2.0, direct, 6.0).inversion_ms == 0
    # Beside nobody there is nothing to invert; the other's kernels do not matter at all.
    assert prioritised(Serving(model, TCP), 2.0, direct, 6.0).inversion_ms == 0


def test_partitions_are_slower_and_keep_copies_apart() -> None:
    """Half a GPU takes twice as long; partitioned engines copy at half the rate."""
    serving = Serving(MODELS["ResNet50"], TCP)
    whole = partitioned_ms(serving, 10.0, 1.0, copies_too=False)
    assert whole == pytest.approx(serving.open_ms(10.0))
    mps = partitioned_ms(serving, 10.0, 0.5, copies_too=False)
    mig = partitioned_ms(serving, 10.0, 0.5, copies_too=True)
    assert whole + 4.5 < mps < mig
    with pytest.raises(UsageError, match="share"):
        partitioned_ms(serving, 10.0, 0.0, copies_too=True)


def test_stations_are_those_of_the_last_hop() -> None:
    """Demands by station, by hand; a proxy and its hops are delays."""
    found = dict(
        zip(STATIONS, Serving(MODELS["ResNet50"], ("tcp", "rdma")).demands(1), strict=True)
    )
    assert found["link in"] == pytest.approx(602_112 / 2.9e6)
    assert found["copy to GPU"] == pytest.approx(0.010 + 602_112 / 11e6)
    assert found["GPU"] == pytest.approx(4.5)
    assert found["link out"] == pytest.approx(4_000 / 2.9e6)


@pytest.mark.parametrize("wrong", [{"sharing": "mps"}, {"switch_share": 1.0}])
def test_wrong_ways_of_sharing_are_refused(wrong) -> None:
    """Unknown ways and impossible shares say so."""
    with pytest.raises(UsageError):
        Serving(MODELS["ResNet50"], TCP, **wrong)
