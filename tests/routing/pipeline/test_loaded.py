"""Latency of plans at their own load: by hand, and against the served model."""

from __future__ import annotations

import numpy as np
import pytest

from optmodels.queueing.cores import cores_response
from optmodels.routing.pipeline import synthetic
from optmodels.routing.pipeline.catalogue import MODELS
from optmodels.routing.pipeline.loaded import loaded_latency
from optmodels.routing.pipeline.optimum import solve
from optmodels.routing.pipeline.serving import Serving
from tests.routing.pipeline.instances import chain


@pytest.mark.parametrize("gpudirect", ["none", "installed"])
@pytest.mark.parametrize("rate", [1e-6, 50.0, 300.0])
def test_one_service_is_the_served_model(gpudirect: str, rate: float) -> None:
    """One GPU, a link as fast as RDMA: the same queues as in the open model of serving.

    The proxy and its hops have cores and links in plenty.
    """
    inst = chain(("installed",) * 3, gpudirect=gpudirect, rate=rate)
    kind = "gpudirect" if gpudirect == "installed" else "rdma"
    speed = {"rdma": 2.9, "gpudirect": 2.8}[kind]
    links = inst.tables["links"]
    links.loc[links["host_b"] == "server", "gb_per_s"] = speed
    inst = inst.replace(links=links)
    found = loaded_latency(inst, solve(inst))
    served = Serving(MODELS["EfficientNetB0"], ("rdma", kind))
    # The first hop has a link in plenty, which the served model leaves out.
    assert found["loaded_ms"].item() == pytest.approx(served.open_ms(rate), rel=2e-4)
    assert found["planned_ms"].item() == pytest.approx(served.alone_ms, rel=1e-9)


def test_several_gpus_wait_less() -> None:
    """Four GPUs at four times the rate: Erlang's wait, by hand."""
    inst = chain(("none", "none", "none"), rate=1000.0, copy_interference=0.0)
    hosts = inst.tables["hosts"]
    hosts["gpus"] = [4 if host == "server" else 0 for host in hosts["host"]]
    inst = inst.replace(hosts=hosts)
    found = loaded_latency(inst, solve(inst))
    more = found["loaded_ms"].item() - found["planned_ms"].item()
    stage = cores_response(1.0, 2.2, 4) - 2.2
    up = 0.010 + 602_112 / 11e6
    wait = 0.25 * up**2 / 2 / (1 - 0.25 * up)
    assert more == pytest.approx(stage + wait, rel=1e-2)


@pytest.mark.parametrize("seed", range(3))
def test_load_only_adds(seed: int) -> None:
    """No service is faster at load; all are finite as long as nothing is full."""
    inst = synthetic.generate(seed, services=3, gpu_hosts=2, cpu_hosts=1)
    found = loaded_latency(inst, solve(inst, mip_gap=1e-2))
    assert (found["loaded_ms"] >= found["planned_ms"] - 1e-9).all()
    assert np.isfinite(found["loaded_ms"]).all()
