"""Multi-level ensembles, trained here: what is kept when members fail, beside other ways.

Small networks on scikit-learn's bundled digits, a demonstration and not a reproduction of the
paper: its networks (EfficientNet on CIFAR-100 and others) are a thousand times larger. Noise is
drawn anew for every batch, so that capacity is short; each seed has its own division into 70 % to
learn from and 30 % to judge by (five noisy copies), its own start and its own noise.

Parts: `mel` (every system, size and accuracy), `subset` (accuracy of every subset of members, the
table that the optimiser of selections takes), `worth` (expected accuracy on servers that fail, by
that optimiser), `deadline` (what the join of a serving ensemble should wait for).
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from _harness import Check, MissingDataError, Options, Report, in_processes

from optmodels.ensembles.multilevel import (
    Design,
    Samples,
    Serving,
    SubsetTable,
    Training,
    measure,
    noisy_copies,
    split,
    subsets,
)
from optmodels.ensembles.multilevel.network import Hinge
from optmodels.ensembles.multilevel.systems import (
    SYSTEMS,
    Fitted,
    Task,
    fit,
    multilevel,
    row_of,
    split_table,
)
from optmodels.ensembles.selection.optimum import solve
from optmodels.ensembles.selection.pool import Fleet, Pool, from_subsets

Row = dict[str, Any]

NOISE = 0.35
"""Standard deviation of the noise, of pixels between 0 and 1."""
PARTS = (0.7, 0.3)
COPIES = 5
SEEDS = 3
REFERENCE = 64
"""Hidden units of the network that the ensembles replace."""
FAILING = (0.01, 0.02, 0.05, 0.1, 0.2)
"""Failure probability of every server."""
DEADLINES_MS = (8.0, 10.0, 12.0, 15.0, 20.0, 30.0, np.inf)
SERVING = {"encode_ms": (6.2, 6.2, 6.2), "upload_ms": 2.0, "forward_ms": 2.0, "reply_ms": 2.0}
"""Times of a request [ms]: the encoder's is the authors' (CPU), the network's are invented."""
HEAD_MS, REFUSED_MS, SPREAD, REQUESTS = 0.1, 1.0, 0.25, 20_000
PAPER_SHARE, PAPER_RETENTION = 0.4, 0.956
"""The paper's abstract: size of the ensembles, and accuracy kept under failures."""
PAPER_CIFAR = {
    "reference": (1.0, 0.7763, None),
    "multilevel": (0.36, 0.7825, 0.7464),
    "frozen-heads": (0.36, 0.7462, 0.7471),
}
"""EfficientNet-B0 on CIFAR-100 cut at block 5, two members, from the authors' notebook: size, all
members, mean of the members alone."""
COLLAPSED, ABOVE_CHANCE, AGREEMENT = 0.5, 0.2, 1e-9


@dataclass(frozen=True)
class Case:
    """One ensemble on one task.

    Attributes
    ----------
    hidden
        Hidden units of the members, or channels of their layers.
    noise
        "fresh" (drawn for every batch), "fixed" (drawn once) or "none".
    epochs
        Passes through the samples.
    heads
        As of `Design`.
    reference, same_size
        Channels of the convolutional networks to compare with; empty for NumPy's.
    """

    hidden: tuple[Any, ...]
    noise: str = "fresh"
    epochs: int = 40
    heads: str = "trained"
    reference: tuple[int, ...] = ()
    same_size: tuple[int, ...] = ()

    @property
    def systems(self) -> tuple[str, ...]:
        """What is compared."""
        if self.heads == "average":
            return ("multilevel", "joint-only", "independent")
        return tuple(SYSTEMS)


MAIN = "M=3, 41 %"
PAIR = "M=2, 40 %"
LARGER = "M=3, 54 %"
"""Its independent members, without heads, have about the size of the main case's ensemble."""
AVERAGED = "averaged exits, 38 %"
CASES = {
    MAIN: Case((6, 6, 6)),
    LARGER: Case((8, 8, 8)),
    PAIR: Case((11, 11)),
    f"M=3, {AVERAGED}": Case((8, 8, 8), heads="average"),
    "M=3, 41 %, no noise": Case((6, 6, 6), noise="none"),
    "M=3, 41 %, fixed noise": Case((6, 6, 6), noise="fixed"),
}
CONVOLUTIONAL = {
    "conv M=3, 43 %": Case(((4, 6, 8),) * 3, reference=(12, 12, 20, 20), same_size=(8, 8, 12, 12)),
    "conv M=2, 36 %": Case(((5, 7, 11),) * 2, reference=(12, 12, 20, 20), same_size=(8, 8, 12, 12)),
    "conv M=3, 41 %, no noise": Case(
        ((14, 20, 28),) * 3,
        noise="none",
        epochs=20,
        reference=(32, 32, 64, 64),
        same_size=(20, 20, 40, 40),
    ),
}
CLAIMED = (MAIN, PAIR, "conv M=3, 43 %", "conv M=2, 36 %")
"""Where the paper's claims are judged: about its size, and capacity is short."""
LEVELS = {"multilevel 3:1:1": (3.0, 1.0, 1.0), "multilevel 1:1:3": (1.0, 1.0, 3.0)}
"""Weights of exits, pairs and the answer of all, on the main case."""
HINGED = "multilevel, hinge"
QUICK_SYSTEMS = (
    "multilevel",
    "joint-only",
    "independent",
    "frozen-heads",
    "same-size",
    "reference",
)


@dataclass(frozen=True)
class Cell:
    """One system of one case, from one seed."""

    case: str
    system: str
    seed: int


@lru_cache(maxsize=1)
def digits() -> Samples:
    """The bundled digits: 1797 images of 8 × 8 pixels.

    Raises
    ------
    MissingDataError
        scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise MissingDataError(
            "scikit-learn is missing: this benchmark trains on its digits. Fix: pip install "
            "scikit-learn."
        ) from None
    bundled = load_digits()
    return Samples.of(bundled.images / 16.0, bundled.target)


def with_torch() -> bool:
    """Whether the convolutional cases can be run."""
    found = importlib.util.find_spec("torch")
    # A mere folder of that name is found, too, but comes from no file.
    return found is not None and found.origin is not None


def cells_of(quick: bool, seed: int) -> list[Cell]:
    """Everything that is trained."""
    seeds = range(seed, seed + SEEDS)
    if quick:
        main = [Cell(MAIN, system, s) for s in seeds for system in QUICK_SYSTEMS]
        return [*main, *(Cell(LARGER, "independent", s) for s in seeds)]
    cases = {**CASES, **(CONVOLUTIONAL if with_torch() else {})}
    cells = [
        Cell(name, system, s)
        for name, case in cases.items()
        for s in seeds
        for system in case.systems
    ]
    cells += [Cell(MAIN, system, s) for s in seeds for system in LEVELS]
    cells += [Cell(PAIR, HINGED, s) for s in seeds]
    # The longest first, so that no process is left alone with them.
    return sorted(cells, key=lambda cell: not cell.case.startswith("conv"))


# --------------------------------------------------------------------------------------- training
def perform(cell: Cell) -> list[Row]:
    """Train one system: its row, and one for each subset of its members."""
    case = {**CASES, **CONVOLUTIONAL}[cell.case]
    learnt, judged = split(digits(), PARTS, seed=(cell.seed, 8))
    fresh = NOISE if case.noise == "fresh" else 0.0
    if case.noise != "none":
        judged = noisy_copies(judged, noise_sd=NOISE, copies=COPIES, seed=(cell.seed, 9))
    if case.noise == "fixed":
        learnt = noisy_copies(learnt, noise_sd=NOISE, seed=(cell.seed, 10))
    training = Training(epochs=case.epochs, noise_sd=fresh)
    started = time.process_time()
    fitted, whole = _fitted(cell, case, learnt, training)
    seconds = time.process_time() - started
    table = measure(fitted.answers, judged)
    row = {
        "part": "mel",
        "case": cell.case,
        "system": cell.system,
        "seed": cell.seed,
        **row_of(fitted, table, whole),
        "cpu_seconds": seconds,
    }
    head = {"part": "subset", "case": cell.case, "system": cell.system, "seed": cell.seed}
    return [
        row,
        *(
            {**head, "subset": "+".join(map(str, sorted(alive))), "accuracy": value}
            for alive, value in table.items()
        ),
    ]


def _fitted(cell: Cell, case: Case, learnt: Samples, training: Training) -> tuple[Fitted, int]:
    """A trained system, and the size of the reference."""
    if case.reference:
        from optmodels.ensembles.multilevel import convolutional as conv
        from optmodels.ensembles.multilevel import convolutional_systems as systems

        # Members of a few channels cannot spare 30 % of them: no dropout.
        design = conv.ConvolutionalDesign((8, 8), 10, case.hidden, dropout=0.0)
        large = conv.ConvolutionalDesign((8, 8), 10, (case.reference,))
        whole = conv.ConvolutionalEnsemble(large, seed=0).parameters
        task = systems.ConvolutionalTask(
            design, case.reference, case.same_size, learnt, training, cell.seed
        )
        return systems.fit(cell.system, task), whole
    design = Design(64, 10, case.hidden, heads=case.heads)  # type: ignore[arg-type]
    task = Task(design, REFERENCE, learnt, training, cell.seed)
    whole = Design(64, 10, (REFERENCE,)).parameters
    if cell.system in LEVELS or cell.system == HINGED:
        hinge = Hinge() if cell.system == HINGED else None
        network = multilevel(task, LEVELS.get(cell.system), hinge)
        return Fitted(network, design.members, design.parameters), whole
    return fit(cell.system, task), whole


def table_of(frame: pd.DataFrame, case: str, system: str) -> SubsetTable:
    """Accuracy of every subset, mean over seeds."""
    own = frame[(frame["part"] == "subset") & (frame["case"] == case)]
    means = own[own["system"] == system].groupby("subset")["accuracy"].mean()
    members = int(len(means) + 1).bit_length() - 1
    values = [means["+".join(map(str, sorted(alive)))] for alive in subsets(members)]
    return SubsetTable(members, np.array(values))


# ------------------------------------------------------------------------------------ on servers
def worth_rows(frame: pd.DataFrame) -> list[Row]:
    """Expected accuracy of every system, members where the optimiser puts them.

    Each server holds one part: a member, or a whole network. The reference cut over three servers
    needs all of them. The optimiser may leave members out, and is checked by trying all subsets.
    """
    tables = {name: table_of(frame, MAIN, name) for name in QUICK_SYSTEMS if name != "joint-only"}
    tables["independent, same size"] = table_of(frame, LARGER, "independent")
    tables["reference, split"] = split_table(tables["reference"], 3)
    rows = []
    for failing in FAILING:
        for name, table in tables.items():
            count = table.members
            pool = Pool([f"m{m}" for m in range(count)], [1.0] * count, [1.0] * count)
            plan = solve(from_subsets(pool, Fleet([1.0] * count, [failing] * count), table))
            direct = max(_expected(table, deployed, failing) for deployed in table)
            rows.append(
                {
                    "part": "worth",
                    "case": MAIN,
                    "system": name,
                    "failing": failing,
                    "expected": 1 - float(plan.objective or 0.0),
                    "off": abs(1 - float(plan.objective or 0.0) - direct),
                }
            )
    return rows


def _expected(table: SubsetTable, deployed: frozenset[int], failing: float) -> float:
    """Expected accuracy of some members on servers that fail alike, by listing who is alive."""
    return sum(
        (1 - failing) ** len(alive) * failing ** (len(deployed) - len(alive)) * value
        for alive, value in table.items()
        if alive <= deployed
    )


def deadline_rows(frame: pd.DataFrame, seed: int) -> list[Row]:
    """Latency and accuracy by the deadline of the join, with and without a failure."""
    table = table_of(frame, MAIN, "multilevel")
    states: dict[str, dict[str, Any]] = {
        "all up": {},
        "one down, not known": {"down": (0,)},
        "one down, known": {"down": (0,), "known_down": True},
        "combiner down": {"combiner_down": True},
    }
    rows = []
    for deadline in DEADLINES_MS:
        serving = Serving(
            **SERVING, head_ms=HEAD_MS, exit_ms=HEAD_MS, refused_ms=REFUSED_MS, deadline_ms=deadline
        )
        arrivals = serving.sampled_ms(REQUESTS, spread=SPREAD, seed=(seed, 11))
        for state, how in states.items():
            found = serving.answers(arrivals, **how)
            rows.append(
                {
                    "part": "deadline",
                    "case": MAIN,
                    "deadline_ms": deadline,
                    "state": state,
                    "mean_ms": float(found.latency_ms.mean()),
                    "p99_ms": float(np.quantile(found.latency_ms, 0.99, method="higher")),
                    "answered": found.answered,
                    "accuracy": found.accuracy(table),
                }
            )
    return rows


# ----------------------------------------------------------------------------------------- report
def means_of(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean over seeds of every system, with the standard deviation of the full accuracy."""
    own = frame[frame["part"] == "mel"]
    groups = own.groupby(["case", "system"], sort=False)
    table = groups[["parameters", "share", "full", "one_down", "alone", "retention"]].mean()
    table["full_sd"] = groups["full"].std()
    return table.reset_index()


def paper_table() -> pd.DataFrame:
    """The authors' figures of EfficientNet-B0 on CIFAR-100, two members."""
    return pd.DataFrame(
        [
            {"system": name, "share": share, "full": full, "alone": alone}
            for name, (share, full, alone) in PAPER_CIFAR.items()
        ]
    )


def checks_of(frame: pd.DataFrame) -> list[Check]:
    """What is claimed of training, and of the tables' way to the optimiser."""
    means = means_of(frame).set_index(["case", "system"])
    main = means.loc[MAIN]
    collapsed = main.loc["joint-only", "one_down"] / main.loc["joint-only", "full"]
    checks = [
        Check("MEL trained jointly only: kept with one down", float(collapsed), COLLAPSED, "<="),
        Check("MEL: a member alone", float(main.loc["multilevel", "alone"]), ABOVE_CHANCE, ">="),
    ]
    # The paper's claims, also where ours fall short of them.
    for case in CLAIMED:
        if (case, "multilevel") not in means.index:
            continue
        own = means.loc[case]
        gain = own.loc["multilevel", "full"] - own.loc["frozen-heads", "full"]
        kept = own.loc["multilevel", "retention"]
        claim = f"MEL {case}: accuracy kept with one down, by the paper's figure"
        checks += [
            Check(f"MEL {case}: above heads on frozen members", float(gain), 0.0, ">="),
            Check(claim, float(kept), PAPER_RETENTION, ">="),
        ]
    off = float(frame.loc[frame["part"] == "worth", "off"].max())
    checks.append(Check("MEL tables: optimiser against the sum", off, AGREEMENT, "<="))
    return checks


def notes_of(frame: pd.DataFrame) -> list[str]:
    """What the numbers say, and what they do not."""
    means = means_of(frame).set_index(["case", "system"])
    main = means.loc[MAIN]
    ours, large, apart = main.loc["multilevel"], main.loc["reference"], main.loc["independent"]

    equal = means.loc[(LARGER, "independent")]

    def three(row: pd.Series) -> str:
        return ", ".join(f"{row[name]:.1%}" for name in ("full", "one_down", "alone"))

    notes = [
        f"MEL at {ours['share']:.0%} of the reference's size: {ours['full']:.1%} against "
        f"{large['full']:.1%}, {100 * (ours['full'] - large['full']):+.1f} points. The paper says "
        f"that {PAPER_SHARE:.0%} performs similarly. One network of the ensemble's size has "
        f"{main.loc['same-size', 'full']:.1%} while nothing fails.",
        f"With one member down MEL keeps {ours['retention']:.1%} of its accuracy (the paper: "
        f"{PAPER_RETENTION:.1%}, an average over settings that are not ours).",
        f"All up, one down, two down: MEL {three(ours)}; members trained each for itself "
        f"{three(apart)} with as many units ({apart['share']:.0%} of the reference's size), "
        f"{three(equal)} with as many parameters ({equal['share']:.0%}).",
        "Digits are a demonstration, not a reproduction of the paper.",
    ]
    # Equal sizes, and tasks where capacity is not what is short.
    for case in means.index.unique("case"):
        if not case.endswith(("noise", AVERAGED)):
            continue
        one, other = means.loc[(case, "multilevel")], means.loc[(case, "independent")]
        notes.append(f"{case}: MEL {three(one)}; members trained each for itself {three(other)}.")
    if not frame["case"].str.startswith("conv").any():
        why = "in a full run alone" if with_torch() else "with torch (the extra 'mel'), not here"
        notes.append(f"Convolutional members are trained {why}.")
    return notes


def measure_mel(options: Options) -> Report:
    """Rows, checks and tables of multi-level ensembles."""
    digits()
    cells = cells_of(options.quick, options.seed)
    found = in_processes(perform, cells, workers=options.workers, what="multi-level ensembles")
    return report_of([row for rows in found for row in rows], options.seed)


def report_of(rows: Sequence[Row], seed: int) -> Report:
    """The report of everything that was trained."""
    frame = pd.DataFrame(rows)
    worth, deadlines = worth_rows(frame), deadline_rows(frame, seed)
    frame = pd.concat([frame, pd.DataFrame(worth), pd.DataFrame(deadlines)], ignore_index=True)
    wide = pd.DataFrame(worth).pivot(index="system", columns="failing", values="expected")
    return Report(
        rows=[*rows, *worth, *deadlines],
        checks=checks_of(frame),
        tables={
            "MEL on digits, mean of three seeds": means_of(frame),
            "MEL by its authors (CIFAR-100)": paper_table(),
            f"Expected accuracy by the failure probability of every server ({MAIN})": (
                wide.reset_index()
            ),
            f"Deadline of the join ({MAIN})": pd.DataFrame(deadlines).drop(
                columns=["part", "case"]
            ),
        },
        notes=notes_of(frame),
    )
