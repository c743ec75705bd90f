"""Times of hops: the worked numbers of the page, and what must hold for any payload."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.errors import UsageError
from optmodels.routing.pipeline.catalogue import MODELS, ServedModel
from optmodels.routing.pipeline.serving import Serving
from optmodels.routing.pipeline.transport import DEFAULTS, KINDS, VERBS, translates

SMALL = MODELS["EfficientNetB0"]
sizes = st.integers(0, 50_000_000)


def alone(model: ServedModel, *hops: str) -> float:
    """Latency of a lone request [ms]."""
    return Serving(model, hops).alone_ms  # type: ignore[arg-type]


def test_payloads_follow_from_the_shapes_of_tensors() -> None:
    """Bytes of inputs and outputs, counted by hand."""
    expected = {
        "MobileNetV3": (602_112, 150_528, 4_000),
        "YoloV4": (2_076_672, 519_168, 3_619_980),
        "DeepLabV3": (3_244_800, 811_200, 22_713_600),
    }
    for name, numbers in expected.items():
        model = MODELS[name]
        assert (model.request_bytes, model.raw_bytes, model.reply_bytes) == numbers


@pytest.mark.parametrize(
    ("name", "tcp", "rdma", "gpudirect", "local"),
    [("MobileNetV3", 1.97, 1.50, 1.44, 1.34), ("DeepLabV3", 122.2, 106.3, 104.3, None)],
)
def test_direct_examples(
    name: str, tcp: float, rdma: float, gpudirect: float, local: float | None
) -> None:
    """Latency of a lone request by transport, to the printed digits."""
    digits = 2 if tcp < 10 else 1
    for kind, value in (("tcp", tcp), ("rdma", rdma), ("gpudirect", gpudirect), ("local", local)):
        if value is not None:
            assert round(alone(MODELS[name], kind), digits) == value


@pytest.mark.parametrize(
    ("name", "percent"),
    [
        ("MobileNetV3", 27),
        ("ResNet50", 10),
        ("EfficientNetB0", 18),
        ("WideResNet101", 3.4),
        ("YoloV4", 13),
        ("DeepLabV3", 14.7),
    ],
)
def test_gpudirect_saves_these_shares_of_tcp(name: str, percent: float) -> None:
    """Savings of a lone request, to the printed digits."""
    saved = 100 * (1 - alone(MODELS[name], "gpudirect") / alone(MODELS[name], "tcp"))
    assert saved == pytest.approx(percent, abs=0.05 if percent % 1 else 0.5)


@pytest.mark.parametrize(
    ("hops", "latency"),
    [
        (("tcp", "tcp"), 3.769600),
        (("tcp", "rdma"), 3.373119),
        (("tcp", "gpudirect"), 3.309482),
        (("rdma", "rdma"), 2.825109),
        (("rdma", "gpudirect"), 2.761473),
    ],
)
def test_toy_with_one_proxy(hops: tuple[str, ...], latency: float) -> None:
    """EfficientNetB0 through a proxy: parsing, translation and copies all count.

    By hand for TCP to GPUDirect: 2 × 60 µs + 606,112 B / 1.05 GB/s, 2 × 10 µs + 606,112 B / 2.8
    GB/s, twice 50 µs, 606,112 B / 8 GB/s of translation, 2.2 ms. Forgetting the translation gives
    3.234, translating between RDMA and GPUDirect as well 2.837.
    """
    assert alone(SMALL, *hops) == pytest.approx(latency, abs=5e-7)


def test_inner_hop_alone_saves_twelve_percent_both_twentyseven() -> None:
    """Accelerating only the hop inside the facility is worth something in spite of translation."""
    base = alone(SMALL, "tcp", "tcp")
    assert round(100 * (1 - alone(SMALL, "tcp", "gpudirect") / base)) == 12
    assert round(100 * (1 - alone(SMALL, "rdma", "gpudirect") / base)) == 27


@given(sizes, sizes, st.floats(0, 100))
@settings(deadline=None, derandomize=True, max_examples=60)
def test_order_of_transports(request: int, reply: int, infer: float) -> None:
    """GPUDirect <= RDMA <= TCP for any payload; shared memory first from some 24 kB in all on."""
    model = ServedModel("any", request, request, reply, infer)
    tcp, rdma, direct, local = (
        alone(model, kind) for kind in ("tcp", "rdma", "gpudirect", "local")
    )
    assert direct <= rdma + 1e-12
    assert rdma <= tcp
    if request + reply >= 24_000:
        assert local <= direct


def test_shared_memory_is_not_first_for_small_payloads() -> None:
    """Below some 23 kB the two copies cost more than GPUDirect's set-up."""
    tiny = ServedModel("tiny", 10_000, 10_000, 4_000, 1.0)
    assert alone(tiny, "local") > alone(tiny, "gpudirect")


@given(sizes, st.integers(1, 10_000_000), st.sampled_from(KINDS))
@settings(deadline=None, derandomize=True, max_examples=60)
def test_latency_grows_with_the_payload(size: int, more: int, kind: str) -> None:
    """Monotone in bytes, for all transports."""
    small = ServedModel("small", size, size, size, 1.0)
    assert alone(small, kind) < alone(replace(small, request_bytes=size + more), kind)


@given(st.integers(1, 50_000_000), st.floats(0.5, 100), st.floats(0.1, 100))
@settings(deadline=None, derandomize=True, max_examples=60)
def test_share_saved_falls_with_inference_and_grows_with_bytes(
    size: int, infer: float, more: float
) -> None:
    """What GPUDirect saves matters less, the longer the GPU computes."""

    def saved(bytes_: int, ms: float) -> float:
        model = ServedModel("any", bytes_, bytes_, bytes_, ms)
        return 1 - alone(model, "gpudirect") / alone(model, "tcp")

    assert saved(size, infer + more) < saved(size, infer)
    if infer >= 0.5:
        assert saved(2 * size, infer) > saved(size, infer)


@given(sizes, st.floats(0.1, 20))
@settings(deadline=None, derandomize=True, max_examples=60)
def test_proxied_order_where_translation_is_cheap(size: int, rate: float) -> None:
    """RDMA to GPUDirect <= TCP to GPUDirect <= TCP to TCP, if translating costs less than saved."""
    model = ServedModel("any", size, size, size, 1.0)
    constants = replace(DEFAULTS, translation_gb_per_s=rate)
    chain = {
        hops: Serving(model, hops, constants).alone_ms
        for hops in (("rdma", "gpudirect"), ("tcp", "gpudirect"), ("tcp", "tcp"))
    }
    assert chain["rdma", "gpudirect"] <= chain["tcp", "gpudirect"]
    tcp, direct = (DEFAULTS.hop(kind, size, to_gpu=True) for kind in ("tcp", "gpudirect"))
    saved = tcp.total_ms - direct.total_ms
    if constants.translation_ms(size) <= saved:
        assert chain["tcp", "gpudirect"] <= chain["tcp", "tcp"] + 1e-12
    else:
        assert chain["tcp", "gpudirect"] > chain["tcp", "tcp"]


def test_gpudirect_has_no_copies_and_stays_have_nothing() -> None:
    """No copy at either end of GPUDirect; what stays on one host's GPUs takes no time at all."""
    hop = DEFAULTS.hop("gpudirect", 1e6, from_gpu=True, to_gpu=True)
    assert (hop.down_ms, hop.up_ms) == (0, 0)
    assert DEFAULTS.hop("local", 1e6, from_gpu=True, to_gpu=True).total_ms == 0
    both = DEFAULTS.hop("rdma", 1e6, from_gpu=True, to_gpu=True)
    assert both.down_ms == both.up_ms == pytest.approx(0.010 + 1 / 11)


def test_a_proxy_never_terminates_gpudirect() -> None:
    """GPUDirect on any hop but the last is refused; so are unknown transports."""
    with pytest.raises(UsageError, match="last hop"):
        Serving(SMALL, ("gpudirect", "tcp"))
    with pytest.raises(UsageError, match="Did you mean"):
        Serving(SMALL, ("gpudirec",))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no hop"):
        Serving(SMALL, ())


def test_only_sockets_and_registered_buffers_need_translating() -> None:
    """TCP against RDMA and GPUDirect, either way; nothing else."""
    pairs = {(a, b) for a in KINDS for b in KINDS if translates(a, b)}
    assert pairs == {("tcp", v) for v in VERBS} | {(v, "tcp") for v in VERBS}


@pytest.mark.parametrize("hops", [("tcp",), ("rdma", "gpudirect"), ("tcp", "rdma", "gpudirect")])
def test_parts_add_up(hops: tuple[str, ...]) -> None:
    """The breakdown sums exactly to the latency; each part is positive."""
    for model in MODELS.values():
        serving = Serving(model, hops, raw=True, preprocess_ms=0.3)  # type: ignore[arg-type]
        parts = [ms for _, ms in serving.parts()]
        assert sum(parts) == serving.alone_ms
        assert min(parts) > 0
