"""Facts about the classification models of torchvision: size, work and accuracy.

Source: torchvision 0.28.0 (git 8fb8771), ``torchvision/models/*.py``, the metadata of the weights
that each model has as its default: parameters, size of the file of weights, operations,
resolution, and accuracy (top 1) on ImageNet-1K. ``top1_first`` is the accuracy with the weights of
the first recipe: the later one gains one to five points at the same size, so compare within one
column. The size of the file is in MiB (called MB, as everywhere here), the operations are
multiply-accumulates in billions. Within each family accuracy rises strictly with size.

FailLite (arXiv:2504.15856) was tested with 27 models whose list is not public; ``CORE`` is a
stand-in of ours: 27 models of six families.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

SOURCE = "torchvision 0.28.0, metadata of the default weights"


@dataclass(frozen=True)
class Fact:
    """One model.

    Attributes
    ----------
    model, family
        Its name in torchvision and its family.
    recipe
        Version of its default weights.
    parameters_m
        Parameters, in millions.
    file_mb
        Size of the file of weights [MiB].
    gmac
        Multiply-accumulates of an inference, in billions.
    pixels
        Side of the image.
    top1, top1_first
        Accuracy with the default weights, and with those of the first recipe [%].
    core
        Whether it is one of the 27.
    """

    model: str
    family: str
    recipe: int
    parameters_m: float
    file_mb: float
    gmac: float
    pixels: int
    top1: float
    top1_first: float
    core: bool


# fmt: off
FACTS: tuple[Fact, ...] = (
    Fact("mobilenet_v3_small", "mobilenet", 1, 2.543, 9.829, 0.057, 224, 67.668, 67.668, True),
    Fact("mobilenet_v2", "mobilenet", 2, 3.505, 13.598, 0.301, 224, 72.154, 71.878, True),
    Fact("mobilenet_v3_large", "mobilenet", 2, 5.483, 21.107, 0.217, 224, 75.274, 74.042, True),
    Fact("shufflenet_v2_x0_5", "shufflenet", 1, 1.367, 5.282, 0.04, 224, 60.552, 60.552, True),
    Fact("shufflenet_v2_x1_0", "shufflenet", 1, 2.279, 8.791, 0.145, 224, 69.362, 69.362, True),
    Fact("shufflenet_v2_x1_5", "shufflenet", 1, 3.504, 13.557, 0.296, 224, 72.996, 72.996, True),
    Fact("shufflenet_v2_x2_0", "shufflenet", 1, 7.394, 28.433, 0.583, 224, 76.23, 76.23, True),
    Fact("mnasnet0_5", "mnasnet", 1, 2.219, 8.591, 0.104, 224, 67.734, 67.734, False),
    Fact("mnasnet0_75", "mnasnet", 1, 3.17, 12.303, 0.215, 224, 71.18, 71.18, False),
    Fact("mnasnet1_0", "mnasnet", 1, 4.383, 16.915, 0.314, 224, 73.456, 73.456, False),
    Fact("mnasnet1_3", "mnasnet", 1, 6.282, 24.246, 0.526, 224, 76.506, 76.506, False),
    Fact("efficientnet_b0", "efficientnet", 1, 5.289, 20.451, 0.386, 224, 77.692, 77.692, True),
    Fact("efficientnet_b1", "efficientnet", 2, 7.794, 30.136, 0.687, 240, 79.838, 78.642, True),
    Fact("efficientnet_b2", "efficientnet", 1, 9.11, 35.174, 1.088, 288, 80.608, 80.608, True),
    Fact("efficientnet_b3", "efficientnet", 1, 12.233, 47.184, 1.827, 300, 82.008, 82.008, True),
    Fact("efficientnet_b4", "efficientnet", 1, 19.342, 74.489, 4.394, 380, 83.384, 83.384, True),
    Fact("efficientnet_b5", "efficientnet", 1, 30.39, 116.864, 10.266, 456, 83.444, 83.444, True),
    Fact("efficientnet_b6", "efficientnet", 1, 43.041, 165.362, 19.068, 528, 84.008, 84.008, False),
    Fact("efficientnet_b7", "efficientnet", 1, 66.348, 254.675, 37.746, 600, 84.122, 84.122, False),
    Fact("regnet_y_400mf", "regnet_y", 2, 4.344, 16.806, 0.402, 224, 75.804, 74.046, True),
    Fact("regnet_y_800mf", "regnet_y", 2, 6.433, 24.774, 0.834, 224, 78.828, 76.42, True),
    Fact("regnet_y_1_6gf", "regnet_y", 2, 11.202, 43.152, 1.612, 224, 80.876, 77.95, True),
    Fact("regnet_y_3_2gf", "regnet_y", 2, 19.436, 74.567, 3.176, 224, 81.982, 78.948, True),
    Fact("regnet_y_8gf", "regnet_y", 2, 39.381, 150.701, 8.473, 224, 82.828, 80.032, True),
    Fact("regnet_y_16gf", "regnet_y", 2, 83.59, 319.49, 15.912, 224, 82.886, 80.424, False),
    Fact("resnet18", "resnet", 1, 11.69, 44.661, 1.814, 224, 69.758, 69.758, True),
    Fact("resnet34", "resnet", 1, 21.798, 83.275, 3.664, 224, 73.314, 73.314, True),
    Fact("resnet50", "resnet", 2, 25.557, 97.79, 4.089, 224, 80.858, 76.13, True),
    Fact("resnet101", "resnet", 2, 44.549, 170.53, 7.801, 224, 81.886, 77.374, True),
    Fact("resnet152", "resnet", 2, 60.193, 230.474, 11.514, 224, 82.284, 78.312, True),
    Fact("densenet121", "densenet", 1, 7.979, 30.845, 2.834, 224, 74.434, 74.434, False),
    Fact("densenet169", "densenet", 1, 14.149, 54.708, 3.36, 224, 75.6, 75.6, False),
    Fact("densenet201", "densenet", 1, 20.014, 77.373, 4.291, 224, 76.896, 76.896, False),
    Fact("densenet161", "densenet", 1, 28.681, 110.369, 7.728, 224, 77.138, 77.138, False),
    Fact("convnext_tiny", "convnext", 1, 28.589, 109.119, 4.456, 224, 82.52, 82.52, True),
    Fact("convnext_small", "convnext", 1, 50.224, 191.703, 8.684, 224, 83.616, 83.616, True),
    Fact("convnext_base", "convnext", 1, 88.591, 338.064, 15.355, 224, 84.062, 84.062, True),
    Fact("convnext_large", "convnext", 1, 197.767, 754.537, 34.361, 224, 84.414, 84.414, True),
)
# fmt: on

CORE: tuple[Fact, ...] = tuple(fact for fact in FACTS if fact.core)


def facts_frame(facts: tuple[Fact, ...] = FACTS) -> pd.DataFrame:
    """The facts as a frame, one model a row."""
    return pd.DataFrame([vars(fact) for fact in facts])
