"""Served models: how much they send, how much they answer, and how long they compute.

Payloads follow from the shapes of the tensors: 224 × 224 pixels × 3 channels × 4 bytes for the
classifiers, 416 × 416 for the detector with its three heads of (13² + 26² + 52²) × 3 × 85 numbers,
520 × 520 for the segmentation with 21 classes per pixel. Raw pictures have one byte per channel.

The models are those that the evaluation of "Understanding the Benefits of Hardware-Accelerated
Communication in Model-Serving Applications" (arXiv:2305.03165) is known for, as far as we recall.
**The inference times are ours**: orders of magnitude for a data-centre GPU of 2021, not
measurements, and not the paper's, whose numbers per model are not public text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

_FLOAT = 4


@dataclass(frozen=True)
class ServedModel:
    """One model.

    Attributes
    ----------
    name
        Name.
    request_bytes
        Preprocessed input [bytes].
    raw_bytes
        The same picture as it was taken [bytes].
    reply_bytes
        Output [bytes].
    infer_ms
        Time on a GPU that does nothing else [ms].
    """

    name: str
    request_bytes: int
    raw_bytes: int
    reply_bytes: int
    infer_ms: float


def _picture(side: int, reply_bytes: int, name: str, infer_ms: float) -> ServedModel:
    numbers = side * side * 3
    return ServedModel(name, numbers * _FLOAT, numbers, reply_bytes, infer_ms)


_CLASSES = 1000 * _FLOAT
_HEADS = (13**2 + 26**2 + 52**2) * 3 * 85 * _FLOAT
_SEGMENTS = 21 * 520**2 * _FLOAT

MODELS: Mapping[str, ServedModel] = MappingProxyType(
    {
        model.name: model
        for model in (
            _picture(224, _CLASSES, "MobileNetV3", 1.2),
            _picture(224, _CLASSES, "EfficientNetB0", 2.2),
            _picture(224, _CLASSES, "ResNet50", 4.5),
            _picture(224, _CLASSES, "WideResNet101", 15.0),
            _picture(416, _HEADS, "YoloV4", 25.0),
            _picture(520, _SEGMENTS, "DeepLabV3", 95.0),
        )
    }
)
