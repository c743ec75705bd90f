"""Mutants of a source file: every small change that cosmic-ray knows, less those that say nothing.

Left out are operators whose results hardly ever run (a shift of two floats), annotations, which
nobody evaluates, and guards against mistakes of programmers (`frozen=True`, `strict=True`), which
change no result of right code.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator

_BINARY = (
    *("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "FloorDiv_Div", "Mod_FloorDiv", "Pow_Mul"),
    *("BitOr_BitAnd", "BitAnd_BitOr", "BitXor_BitOr"),
)
_COMPARISONS = (
    *("Lt_LtE", "Lt_GtE", "LtE_Lt", "LtE_Gt", "Gt_GtE", "Gt_LtE", "GtE_Gt", "GtE_Lt"),
    *("Eq_NotEq", "NotEq_Eq", "Is_IsNot", "IsNot_Is"),
)
_GUARDS = ("frozen", "strict")
OPERATORS = (
    *(f"ReplaceBinaryOperator_{pair}" for pair in _BINARY),
    *(f"ReplaceComparisonOperator_{pair}" for pair in _COMPARISONS),
    *(f"ReplaceUnaryOperator_{pair}" for pair in ("Delete_USub", "Delete_Invert", "Delete_Not")),
    *("AddNot", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceAndWithOr"),
    *("ReplaceOrWithAnd", "ReplaceBreakWithContinue", "ReplaceContinueWithBreak"),
    *("NumberReplacer", "ZeroIterationForLoop", "RemoveDecorator", "ExceptionReplacer"),
)


@dataclass(frozen=True)
class Mutant:
    """One small change of one file.

    Attributes
    ----------
    file
        The file, below the root.
    line
        Where the change begins.
    operator
        The kind of change, as cosmic-ray names it.
    occurrence
        Which place of this kind in the file.
    before, after
        The changed lines, without indentation.
    """

    file: str
    line: int
    operator: str
    occurrence: int
    before: str
    after: str

    @property
    def key(self) -> str:
        """What the change is, wherever the lines have moved."""
        return f"{self.file}: {self.before} -> {self.after}"


def code_of(root: Path, mutant: Mutant) -> str:
    """The changed file."""
    source = (root / mutant.file).read_text(encoding="utf-8")
    return str(mutate_code(source, get_operator(f"core/{mutant.operator}")(), mutant.occurrence))


def sample(root: Path, files: list[str], count: int, seed: int) -> tuple[list[Mutant], int]:
    """Choose mutants of some files at random, each at another place; how many places there are.

    Parameters
    ----------
    root
        Root of the tree.
    files
        Files below it.
    count
        Number of mutants; all places, with one mutant each, if there are fewer.
    seed
        Seed of the choice.
    """
    rng = random.Random(seed)
    places: dict[tuple[str, tuple[int, int], tuple[int, int]], list[tuple[str, int]]] = {}
    for file in files:
        for operator, occurrence, start, end in _places((root / file).read_text(encoding="utf-8")):
            places.setdefault((file, start, end), []).append((operator, occurrence))
    order = sorted(places)
    rng.shuffle(order)
    chosen: list[Mutant] = []
    for file, start, end in order:
        operator, occurrence = rng.choice(places[file, start, end])
        source = (root / file).read_text(encoding="utf-8")
        changed = mutate_code(source, get_operator(f"core/{operator}")(), occurrence)
        if changed is None or changed == source or not _compiles(changed):
            continue
        before, after = _difference(source, changed)
        chosen.append(Mutant(file, start[0], operator, occurrence, before, after))
        if len(chosen) == count:
            break
    return sorted(chosen, key=lambda m: (m.file, m.line, m.operator)), len(places)


def _places(source: str) -> Iterator[tuple[str, int, tuple[int, int], tuple[int, int]]]:
    silent = _silent_spans(source)
    tree = get_ast(source)
    for name in OPERATORS:
        operator = get_operator(f"core/{name}")()
        positions = (
            place for node in ast_nodes(tree) for place in operator.mutation_positions(node)
        )
        for occurrence, (start, end) in enumerate(positions):
            if not any(low <= start and end <= high for low, high in silent):
                yield name, occurrence, start, end


def _silent_spans(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Spans that change no result: annotations, imports for type checkers, guards."""
    silent: list[ast.AST] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.AnnAssign | ast.arg) and node.annotation:
            silent.append(node.annotation)
        elif isinstance(node, ast.FunctionDef) and node.returns:
            silent.append(node.returns)
        elif isinstance(node, ast.keyword) and node.arg in _GUARDS:
            silent.append(node.value)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            silent.append(node)
    return [((n.lineno, n.col_offset), (n.end_lineno, n.end_col_offset)) for n in silent]  # type: ignore[attr-defined]


def _compiles(source: str) -> bool:
    try:
        compile(source, "mutant", "exec")
    except (SyntaxError, ValueError):
        return False
    return True


def _difference(source: str, changed: str) -> tuple[str, str]:
    old, new = source.splitlines(), changed.splitlines()
    head = next(i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b)
    tail = 0
    while old[-1 - tail] == new[-1 - tail] and tail < min(len(old), len(new)) - head - 1:
        tail += 1
    parts = (lines[head : len(lines) - tail] for lines in (old, new))
    before, after = (" ".join(" ".join(lines).split()) for lines in parts)
    return before, after or "(nothing)"
