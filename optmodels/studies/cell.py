"""Cells of a study: one policy, or the oracle, on one instance with one forecast and one seed.

A cell has a key that is the same wherever and whenever the cell is computed: a digest of the
instance's fingerprint, of what the policy is and how it was made, of the forecast, of the seed, and
of the code that the result depends on (`optmodels.studies.source`). What has the same key has the
same result, so a stored one need not be computed again.

Every cell draws its random numbers from a seed of its own, spawned from the seed that the user
gave, the instance and the forecast. All policies of one instance therefore see the same noise, as a
paired comparison wants it, and different instances see independent noise.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

import numpy as np

from optmodels import comparison, registry
from optmodels.comparison import OPTIMUM
from optmodels.errors import UsageError
from optmodels.instance import Instance
from optmodels.policy import Policy
from optmodels.studies.source import code_digest

NO_FORECAST = "none"
DEFAULT_FORECAST = "default"
_EVERYTHING = "everything"


@dataclass(frozen=True)
class Cell:
    """One result that a study wants.

    Attributes
    ----------
    key
        Digest of everything that the result depends on.
    problem, instance, fingerprint
        The question.
    policy
        Label of the policy, "optimum" for the oracle.
    forecast
        Label of the forecast, "none" for a policy that does not ask for any.
    seed
        Seed as the user gave it.
    drawn_seed
        Seed of the cell's random numbers.
    granted
        What it is told beyond header and past, in words.
    chosen
        Whether the user named the policy; others are of the problem's default set, and may turn out
        not to apply.
    """

    key: str
    problem: str
    instance: str
    fingerprint: str
    policy: str
    forecast: str
    seed: int
    drawn_seed: int
    granted: str
    chosen: bool


@dataclass(frozen=True)
class Grid:
    """Cells of a study with the objects that they speak of.

    Attributes
    ----------
    cells
        In the order of the table: by instance, the oracle first.
    instances
        Instances by fingerprint.
    policies
        Names of policies, or policy objects, by problem and label.
    forecasts
        What is to be forecast, by label.
    """

    cells: tuple[Cell, ...]
    instances: Mapping[str, Instance]
    policies: Mapping[tuple[str, str], str | Policy]
    forecasts: Mapping[str, Any]


def grid(
    instances: Sequence[Instance],
    policies: Sequence[str | Policy] | Mapping[str, str | Policy] | None,
    forecasts: Sequence[str] | Mapping[str, Any] | None,
    seeds: Sequence[int],
) -> Grid:
    """Cells of all combinations, without repetitions.

    A policy that asks for no forecast has one cell for all forecasts; one that is not random
    either has one for all seeds.

    Raises
    ------
    UsageError
        There is nothing to do, a name is unknown, or labels repeat.
    """
    if not instances:
        raise UsageError(
            "A study needs at least one instance. Fix: give instances or their folders."
        )
    for seed in seeds:
        if isinstance(seed, bool) or seed != int(seed) or seed < 0:
            raise UsageError(f"A seed is {seed}; allowed: whole numbers from 0.")
    if not len(seeds) or len(set(seeds)) < len(seeds):
        raise UsageError(
            f"seeds is {list(seeds)}; allowed: different whole numbers from 0, at least one."
        )
    views = _forecasts(forecasts)
    by_fingerprint = {instance.fingerprint: instance for instance in instances}
    named: dict[tuple[str, str], str | Policy] = {}
    asked: dict[str, list[_Asked]] = {}
    cells: list[Cell] = []
    for instance in by_fingerprint.values():
        # What is asked of one instance of a problem is asked of all.
        if instance.problem not in asked:
            problem = registry.problem(instance.problem)
            labelled = _policies(problem, policies)
            named |= {(problem.name, label): policy for label, policy in labelled.items()}
            asked[problem.name] = _asked(problem, labelled, views, chosen=policies is not None)
        for kind, view, seeded in asked[instance.problem]:
            for seed in seeds if seeded else seeds[:1]:
                cells.append(_cell(instance, kind, view, int(seed)))
    return Grid(tuple(cells), by_fingerprint, named, {**views, NO_FORECAST: None})


@dataclass(frozen=True)
class _Kind:
    """What the cells of one policy have in common."""

    label: str
    what: str
    code: str
    granted: str
    chosen: bool


#: A kind of cell, its forecast, and whether seeds tell such cells apart.
_Asked = tuple[_Kind, str, bool]


def _asked(
    problem: registry.Problem,
    labelled: Mapping[str, str | Policy],
    views: Mapping[str, Any],
    *,
    chosen: bool,
) -> list[_Asked]:
    """What is asked of every instance of a problem: the oracle first, then each policy."""
    by_oracle = _Kind(OPTIMUM, "", code_digest(_of_oracle(problem)), _EVERYTHING, True)
    found: list[_Asked] = [(by_oracle, NO_FORECAST, False)]
    for label, given in labelled.items():
        policy = problem.policy(given)
        code = code_digest([*_of_replay(problem), type(policy)])
        told = "forecast" in policy.needs
        for view in views if told else [NO_FORECAST]:
            words = [f"{need} {view}" if need == "forecast" else need for need in policy.needs]
            what = _made(policy) + (identity(views[view]) if told else "")
            kind = _Kind(label, what, code, ", ".join(sorted(words)), chosen)
            found.append((kind, view, told or policy.randomised))
    return found


def _cell(instance: Instance, kind: _Kind, view: str, seed: int) -> Cell:
    content = [instance.problem, instance.fingerprint, kind.label, kind.what, view, seed, kind.code]
    return Cell(
        key=hashlib.sha256(json.dumps(content).encode()).hexdigest(),
        problem=instance.problem,
        instance=instance.name,
        fingerprint=instance.fingerprint,
        policy=kind.label,
        forecast=view,
        seed=seed,
        drawn_seed=_spawned(seed, instance.fingerprint, view),
        granted=kind.granted,
        chosen=kind.chosen,
    )


def _spawned(seed: int, fingerprint: str, view: str) -> int:
    """Seed of one instance with one forecast, independent of those of others."""
    words = hashlib.sha256(f"{fingerprint} {view}".encode()).digest()[:16]
    entropy = [seed, *np.frombuffer(words, dtype="<u4").tolist()]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0]) & 0x7FFFFFFF


def _forecasts(given: Sequence[str] | Mapping[str, Any] | None) -> dict[str, Any]:
    if given is None:
        return {DEFAULT_FORECAST: None}
    if isinstance(given, str):
        given = [given]
    found = dict(given) if isinstance(given, Mapping) else {str(kind): kind for kind in given}
    if not found:
        raise UsageError("forecasts is empty. Fix: name at least one forecast, or leave it out.")
    if NO_FORECAST in found:
        raise UsageError(
            f"'{NO_FORECAST}' labels policies without a forecast. Fix: use another label."
        )
    return found


def _policies(
    problem: registry.Problem,
    given: Sequence[str | Policy] | Mapping[str, str | Policy] | None,
) -> dict[str, str | Policy]:
    """Policies by label, all of them known to the problem."""
    if given is None:
        given = problem.default_policies
    if isinstance(given, str | Policy):
        given = [given]
    if isinstance(given, Mapping):
        found = {str(label): policy for label, policy in given.items()}
    else:
        found = {problem.policy(policy).name: policy for policy in given}
        if len(found) < len(given):
            raise UsageError(
                "Two policies of a study have the same name. Fix: give a mapping of labels to "
                "policies."
            )
    for policy in found.values():
        problem.policy(policy)
    if OPTIMUM in found:
        raise UsageError(f"'{OPTIMUM}' labels the oracle. Fix: use another label for a policy.")
    return found


def _of_oracle(problem: registry.Problem) -> list[Callable[..., Any]]:
    return [problem.instance, problem.solve, problem.audit, problem.facts]


def _of_replay(problem: registry.Problem) -> list[Any]:
    names = ("instance", "audit", "environment", "decisions", "facts", "certify", "series")
    return [*(getattr(problem, name) for name in names), comparison.run]


def _made(policy: Policy) -> str:
    """What a policy is and how it was made, whatever it has done since.

    Raises
    ------
    UsageError
        Its constructor does not keep its arguments under their own names.
    """
    kind = type(policy)
    attributes = vars(policy)
    lost = [name for name in signature(kind).parameters if name not in attributes]
    if lost:
        raise UsageError(
            f"A study cannot tell one {kind.__name__} from another: its constructor does not keep "
            f"{', '.join(lost)}. Fix: assign each argument to an attribute of the same name."
        )
    return identity([kind, {name: attributes[name] for name in signature(kind).parameters}])


def identity(thing: Any) -> str:
    """Text that is equal for equal values, of plain values, arrays and objects with attributes.

    Two objects of one class with equal attributes have equal texts.
    """
    return json.dumps(_plain(thing), sort_keys=True)


def _plain(thing: Any) -> Any:
    if thing is None or isinstance(thing, bool | int | str):
        return thing
    if isinstance(thing, float):
        return ["float", repr(float(thing))]
    if isinstance(thing, np.ndarray | np.generic):
        array = np.ascontiguousarray(thing)
        digest = hashlib.sha256(array.tobytes()).hexdigest()
        return ["array", str(array.dtype), list(array.shape), digest]
    if isinstance(thing, Mapping):
        return ["mapping", sorted([str(key), _plain(value)] for key, value in thing.items())]
    if isinstance(thing, set | frozenset):
        return ["set", sorted(json.dumps(_plain(each)) for each in thing)]
    if isinstance(thing, list | tuple):
        return ["list", [_plain(each) for each in thing]]
    if isinstance(thing, type) or callable(thing):
        return ["named", f"{thing.__module__}.{thing.__qualname__}"]
    kind = type(thing)
    attributes = dict(vars(thing)) if hasattr(thing, "__dict__") else {}
    for base in kind.__mro__:
        for name in getattr(base, "__slots__", ()):
            if hasattr(thing, name):
                attributes[name] = getattr(thing, name)
    return ["object", f"{kind.__module__}.{kind.__qualname__}", _plain(attributes)]
