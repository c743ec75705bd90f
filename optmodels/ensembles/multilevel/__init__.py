"""Multi-level ensembles, really trained: members that answer together, and alone if they must.

After MEL ("MEL: Multi-level Ensemble Learning for Resource-Constrained Environments",
arXiv:2506.20094): small upstream models on several servers are trained jointly so that every
non-empty subset of them is a good predictor. Which subset answers is known when the servers are:
no model has to be loaded after a failure.

Rooms: `subsets` (who is alive, and how much each case counts), `samples` (data to learn from),
`network` (members, heads, loss and gradient in NumPy), `training` (Adam on batches), `systems`
(what such an ensemble is compared with), `table` (accuracy of every subset, which is all that
`ensembles.selection` needs), `serving` (how long an answer takes, and when to stop waiting for a
member), `convolutional` and `convolutional_systems` (the same with convolutions; they need the
extra "mel" and are imported only when asked for).
"""

from __future__ import annotations

from optmodels.ensembles.multilevel.network import Design, Network
from optmodels.ensembles.multilevel.samples import Samples, noisy_copies, prototypes, split
from optmodels.ensembles.multilevel.serving import Serving
from optmodels.ensembles.multilevel.subsets import level_weights, subsets
from optmodels.ensembles.multilevel.systems import SYSTEMS, compare
from optmodels.ensembles.multilevel.table import SubsetTable, measure
from optmodels.ensembles.multilevel.training import Training, train

__all__ = [
    "SYSTEMS",
    "Design",
    "Network",
    "Samples",
    "Serving",
    "SubsetTable",
    "Training",
    "compare",
    "level_weights",
    "measure",
    "noisy_copies",
    "prototypes",
    "split",
    "subsets",
    "train",
]
