"""``ensembles.selection``: failure by failure and vote by vote, against configurations and votes.

Second statement: every placement of every application is written out, what it is worth is counted
over all patterns of live servers and all samples as the rules are told in words, and one placement
each is chosen within the memory of the servers. Ours lists configurations as arrays, rules most out
by prices, and has the votes as a programme of their own.
"""

from __future__ import annotations

from itertools import chain, combinations, product
from typing import Any

import numpy as np
import pandas as pd

import optmodels as om
from optmodels.ensembles.selection.instance import SelectionInstance

from .statement import Finding, Statement, at_most, same

ROUNDING = 1e-6
RULES = ("best", "cover", "majority", "plurality", "soft", "weighted", "learned")


def draw(rng: np.random.Generator) -> SelectionInstance:
    """One or two applications with few candidates, coarse scores that tie, little memory."""
    servers, classes = int(rng.integers(1, 4)), int(rng.integers(2, 4))
    names = [f"s{s}" for s in range(servers)]
    applications, candidates, profiles, samples, predictions, subsets = [], [], [], [], [], []
    number = 0
    for a in range(int(rng.integers(1, 3))):
        rule = str(rng.choice(RULES))
        own = [f"a{a}m{m}" for m in range(int(rng.integers(1, 5)))]
        applications.append(
            {
                "application": f"a{a}",
                "weight": float(rng.choice([1.0, 2.0])),
                "rule": rule,
                "latency_max_ms": float(rng.choice([5.0, 9.0])),
                "energy_max_j": float(rng.choice([4.0, 8.0, 100.0])),
                "members_max": int(rng.integers(1, 4)),
                "fallback_accuracy": float(rng.choice([0.0, 0.4])),
            }
        )
        for name in own:
            candidates.append(
                {
                    "candidate": name,
                    "application": f"a{a}",
                    "memory_mb": float(rng.choice([0.0, 30.0, 50.0, 80.0])),
                    "vote_weight": float(rng.choice([0.25, 0.7, 1.0])),
                }
            )
            profiles += [
                {
                    "candidate": name,
                    "server": server,
                    "latency_ms": float(rng.choice([3.0, 7.0])),
                    "energy_j": float(rng.choice([0.0, 1.0, 3.0])),
                }
                for server in names
                if rng.random() < 0.9
            ]
        if rule == "learned":
            for members in _sets(own):
                accuracy = float(np.round(rng.uniform(0.2, 1.0), 2))
                subsets.append((f"a{a}", "+".join(members), accuracy, accuracy))
            continue
        for _ in range(int(rng.integers(1, 9))):
            label = int(rng.integers(classes))
            samples.append((number, f"a{a}", label, "validation"))
            for name in own:
                scores = rng.choice([0.0, 0.25, 0.5, 0.75], classes)
                scores[label] = min(1.0, scores[label] + float(rng.choice([0.0, 0.3])))
                predictions += [(name, number, c, float(s)) for c, s in enumerate(scores)]
            number += 1
    if not profiles:
        profiles = [
            {"candidate": c["candidate"], "server": "s0", "latency_ms": 3.0, "energy_j": 1.0}
            for c in candidates
        ]
    tables: dict[str, pd.DataFrame] = {
        "servers": pd.DataFrame(
            {
                "server": names,
                "site": [f"site-{s % 2}" for s in range(servers)],
                "capacity_mb": rng.choice([0.0, 50.0, 80.0, 130.0], servers),
                "failure_probability": rng.choice([0.0, 0.1, 0.3, 1.0], servers),
            }
        ),
        "applications": pd.DataFrame(applications),
        "candidates": pd.DataFrame(candidates),
        "profiles": pd.DataFrame(profiles),
    }
    if samples:
        tables["samples"] = pd.DataFrame(
            samples, columns=["sample", "application", "label", "split"]
        )
        tables["predictions"] = pd.DataFrame(
            predictions, columns=["candidate", "sample", "label", "score"]
        )
    if subsets:
        tables["subsets"] = pd.DataFrame(
            subsets, columns=["application", "members", "accuracy", "holdout_accuracy"]
        )
    if rng.random() < 0.3:
        rows = [("all", server, 0.1) for server in names] + [("one", names[0], 0.4)]
        tables["scenarios"] = pd.DataFrame(rows, columns=["scenario", "server", "probability"])
    return SelectionInstance(
        {
            "expected_share": float(rng.choice([1.0, 0.5, 0.0])),
            "worst_failures": int(rng.integers(0, 3)),
            "members_per_server": int(rng.integers(1, 3)),
            "copies_max": int(rng.integers(1, 3)),
            "one_per_site": bool(rng.random() < 0.3),
        },
        tables,
    )


def _sets(names: list[str]) -> list[tuple[str, ...]]:
    return list(chain.from_iterable(combinations(names, k) for k in range(1, len(names) + 1)))


def optimum(instance: SelectionInstance) -> float:
    """Least mean error, from the raw tables."""
    p, tables = instance.parameters, instance.tables
    servers = tables["servers"].to_dict("records")
    capacity = {s["server"]: s["capacity_mb"] for s in servers}
    site = {s["server"]: s["site"] for s in servers}
    patterns = list(_patterns(servers, tables.get("scenarios")))
    profile = {
        (row["candidate"], row["server"]): row for row in tables["profiles"].to_dict("records")
    }
    applications = tables["applications"].to_dict("records")
    weights = sum(app["weight"] for app in applications)
    said = Statement()
    memory: dict[str, list[tuple[int, float]]] = {name: [] for name in capacity}
    for app in applications:
        rows = tables["candidates"]
        rows = rows[rows["application"] == app["application"]]
        size = dict(zip(rows["candidate"], rows["memory_mb"], strict=True))
        judge = _Judge(instance, app, rows)
        pairs = [
            (name, server)
            for name, server in product(size, capacity)
            if (name, server) in profile
            and profile[name, server]["latency_ms"] <= app["latency_max_ms"]
        ]
        chosen = []
        for count in range(app["members_max"] + 1):
            for members in combinations(pairs, count):
                if not _allowed(p, app, members, profile, site):
                    continue
                expected, worst = 0.0, 1.0
                for chance, alive in patterns:
                    live = frozenset(name for name, server in members if server in alive)
                    accuracy = judge.accuracy(live)
                    expected += chance * accuracy
                    if len(alive) >= len(servers) - p.worst_failures:
                        worst = min(worst, accuracy)
                mixed = p.expected_share * expected + (1 - p.expected_share) * worst
                x = said.choice(app["weight"] / weights * (1 - mixed))
                chosen.append((x, 1.0))
                for name, server in members:
                    memory[server].append((x, size[name]))
        said.equal(chosen, 1.0)
    for server, terms in memory.items():
        said.row(terms, most=capacity[server])
    return said.optimum()


def _patterns(servers: list[dict[str, Any]], scenarios: pd.DataFrame | None):
    """Every set of live servers, with its probability."""
    names = [s["server"] for s in servers]
    together: dict[frozenset[str], float] = {}
    if scenarios is not None:
        together[frozenset(names)] = 1.0
        for _, rows in scenarios.groupby("scenario"):
            chance = float(rows["probability"].iloc[0])
            alive = frozenset(names) - set(rows["server"])
            together[alive] = together.get(alive, 0.0) + chance
            together[frozenset(names)] -= chance
    for up in product((False, True), repeat=len(servers)):
        alive = frozenset(name for name, on in zip(names, up, strict=True) if on)
        if scenarios is not None:
            yield together.get(alive, 0.0), alive
            continue
        chance = 1.0
        for s, on in zip(servers, up, strict=True):
            chance *= 1 - s["failure_probability"] if on else s["failure_probability"]
        yield chance, alive


def _allowed(p: Any, app: Any, members: Any, profile: Any, site: dict[str, str]) -> bool:
    """Whether the limits of one application are kept."""
    used = [server for _, server in members]
    names = [name for name, _ in members]
    energy = sum(profile[pair]["energy_j"] for pair in members)
    return (
        all(used.count(s) <= p.members_per_server for s in used)
        and all(names.count(m) <= p.copies_max for m in names)
        and (not p.one_per_site or len({site[s] for s in used}) == len(used))
        and energy <= app["energy_max_j"] * (1 + ROUNDING)
    )


class _Judge:
    """How often sets of members are right, sample by sample and class by class."""

    def __init__(self, instance: SelectionInstance, app: Any, rows: pd.DataFrame) -> None:
        self.rule, self.fallback = app["rule"], app["fallback_accuracy"]
        self.known: dict[frozenset[str], float] = {}
        tables = instance.tables
        if self.rule == "learned":
            table = tables["subsets"]
            for row in table[table["application"] == app["application"]].itertuples():
                self.known[frozenset(row.members.split("+"))] = row.accuracy
            return
        steps = instance.parameters.score_steps
        samples = tables["samples"]
        samples = samples[samples["application"] == app["application"]]
        self.labels = dict(zip(samples["sample"], samples["label"], strict=True))
        told = tables["predictions"]
        told = told[told["candidate"].isin(rows["candidate"])]
        self.classes = 1 + max(int(samples["label"].max()), int(told["label"].max()), 1)
        weight = dict(zip(rows["candidate"], rows["vote_weight"], strict=True))
        self.scores: dict[tuple[str, int], list[float]] = {}
        for row in told.itertuples():
            scores = self.scores.setdefault((row.candidate, row.sample), [0.0] * self.classes)
            scores[row.label] = round(steps * row.score)
        self.votes = {
            key: [round(s * weight[key[0]]) if self.rule == "weighted" else s for s in scores]
            for key, scores in self.scores.items()
        }

    def accuracy(self, live: frozenset[str]) -> float:
        if not live:
            return self.fallback
        if live not in self.known:
            if self.rule == "best":
                right = max(
                    sum(self._says(m, i) == y for i, y in self.labels.items()) for m in live
                )
            else:
                right = sum(self._right(live, i, y) for i, y in self.labels.items())
            self.known[live] = right / len(self.labels)
        return self.known[live]

    def _says(self, member: str, sample: int) -> int:
        scores = self.scores[member, sample]
        return scores.index(max(scores))

    def _right(self, live: frozenset[str], sample: int, label: int) -> bool:
        answers = [self._says(m, sample) for m in live]
        hits = answers.count(label)
        wrong = [c for c in range(self.classes) if c != label]
        if self.rule == "cover":
            return hits > 0
        if self.rule == "majority":
            return 2 * hits > len(answers)
        if self.rule == "plurality":
            return all(hits > answers.count(c) for c in wrong)
        total = [sum(self.votes[m, sample][c] for m in live) for c in range(self.classes)]
        return all(total[label] > total[c] for c in wrong)


def compare(instance: SelectionInstance) -> list[Finding]:
    """Configurations, and votes as a programme where the rule is one."""
    theirs = optimum(instance)
    methods = ["configurations"]
    if len(instance.tables["applications"]) == 1:
        methods.append("table")
        app = instance.tables["applications"].iloc[0]
        once = instance.parameters.copies_max == 1 and app["fallback_accuracy"] == 0
        if once and app["rule"] not in ("best", "learned"):
            methods.append("votes")
    found = []
    for method in methods:
        plan = om.solve(instance, method=method, mip_gap=0.0)
        found.append(same(f"optimum, {method}", plan.objective, theirs))
        found.append(at_most(f"bound, {method}", plan.bound, theirs))
    return found
