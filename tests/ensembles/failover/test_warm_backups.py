"""Warm backups: the golden case, three methods that agree, and what must hold of any of them."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optmodels.ensembles.failover import synthetic, warm_backups
from optmodels.ensembles.failover.actions import NONE
from optmodels.ensembles.failover.audit import warm_violations
from optmodels.ensembles.failover.grouping import groups_of
from optmodels.ensembles.failover.instance import FailoverInstance
from optmodels.ensembles.failover.limits import explain
from optmodels.ensembles.failover.warm_backups import place_backups
from optmodels.ensembles.failover.warm_model import formulation, model_data
from optmodels.errors import InfeasibleError, SolverError, UsageError
from optmodels.solver.template import instance_of
from tests.ensembles.failover.instances import build, golden

#: Values that were found by trying everything, by headroom and critical applications.
GOLDEN_VALUES = {
    ("ABCD", 0.0): 3.775562851782,
    ("ABCD", 0.1): 3.775562851782,
    ("ABCD", 0.3): 3.720007296227,
    ("ABCD", 0.5): 2.836538461538,
    ("ABCD", 0.8): 1.829059829060,
    ("AC", 0.0): 1.889024390244,
    ("AC", 0.1): 1.889024390244,
    ("AC", 0.3): 1.889024390244,
    ("AC", 0.5): 1.814024390244,
    ("AC", 0.8): 0.875,
}


def chosen(instance: FailoverInstance, headroom: float) -> dict[str, tuple[str, str]]:
    """Model and server of each application's backup."""
    warm = place_backups(instance, headroom=headroom, mip_gap=0.0).warm
    options = instance.candidates
    return {
        instance.applications[a]: (
            options.names[options.model[warm.candidate[a]]],
            instance.servers[warm.server[a]],
        )
        for a in warm.placed.tolist()
    }


@pytest.mark.parametrize("method", ["milp", "exact"])
@pytest.mark.parametrize(("critical", "headroom"), list(GOLDEN_VALUES))
def test_golden_case(method: str, critical: str, headroom: float) -> None:
    """FL-1 to twelve digits. Without the rule about the primary's server D would stay on it."""
    found = place_backups(golden(critical), headroom=headroom, method=method, mip_gap=0.0)
    assert found.value == pytest.approx(GOLDEN_VALUES[critical, headroom], abs=1e-11)
    assert found.status == "optimal"


def test_golden_backups() -> None:
    """The backups themselves: A, B and D away from home, C down to 50 MB; then D shrinks."""
    found = chosen(golden(), 0.0)
    # D fits on either of the two servers away from its home.
    assert found.pop("D") in [("D30", "s1"), ("D30", "s2")]
    assert found == {"A": ("A20", "s1"), "B": ("B40", "s2"), "C": ("C50", "s0")}
    assert chosen(golden(), 0.3)["D"][0] == "D15"
    assert set(chosen(golden(), 0.5)) == {"A", "B", "D"}
    assert {name: model for name, (model, _) in chosen(golden(), 0.8).items()} == {
        "B": "B10",
        "D": "D15",
    }


def test_plain_sum_drops_an_application_that_coverage_first_keeps() -> None:
    """One big gain against two small ones: the sum takes the one, coverage the two."""
    instance = build(
        {
            "big": (0, [(60.0, 0.9)]),
            "one": (0, [(60.0, 0.9), (30.0, 0.36)]),
            "two": (0, [(60.0, 0.9), (30.0, 0.36)]),
        },
        {0: 0.0, 1: 60.0},
        critical="big one two",
        headroom=0.0,
    )
    plain = place_backups(instance, mip_gap=0.0)
    cover = place_backups(instance, mode="coverage-first", mip_gap=0.0)
    assert (plain.count, plain.value) == (1, pytest.approx(1.0))
    assert (cover.count, cover.value) == (2, pytest.approx(0.8))
    assert cover.count_bound == 2
    assert place_backups(instance, mode="coverage-first", method="exact").count == 2


def test_strict_mode_names_who_has_no_place() -> None:
    """Not everybody fits: an error with the applications, not a plan without them."""
    with pytest.raises(InfeasibleError) as caught:
        place_backups(golden(headroom=0.5), mode="strict")
    assert len(caught.value.reasons) == 1
    assert "there is no room left beside the backups of the others" in str(caught.value)
    assert place_backups(golden(headroom=0.3), mode="strict").count == 4
    alone = build({"A": (0, [(50.0, 0.9)])}, {0: 10.0, 1: 10.0}, critical="A")
    with pytest.raises(InfeasibleError, match="can hold any variant"):
        place_backups(alone, mode="strict")
    reasons = explain(alone)
    assert "at most 0 of 1" in reasons[0]
    assert any("A" in reason and "its site" in reason for reason in reasons)
    assert explain(golden(headroom=0.3)) == []


def test_arguments_out_of_range_are_refused() -> None:
    """Unknown names, a headroom above 1, options without a solver, too many ways for "exact"."""
    for arguments in (
        {"mode": "best"},
        {"method": "magic"},
        {"headroom": 1.5},
        {"method": "greedy", "options": {"presolve": "off"}},
    ):
        with pytest.raises(UsageError):
            place_backups(golden(), **arguments)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="looks through"):
        place_backups(synthetic.generate(0), method="exact")


def test_an_answer_below_the_greedy_one_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    """A solver that loses backups on the way is caught by those that need no solver."""
    found = warm_backups.dealt_out

    def lose(instance: FailoverInstance, groups: object, counts: dict[object, int]) -> object:
        return found(instance, groups, dict(list(counts.items())[1:]))  # type: ignore[arg-type]

    monkeypatch.setattr(warm_backups, "dealt_out", lose)
    with pytest.raises(SolverError, match="wrong"):
        place_backups(golden())


# ---------------------------------------------------------------------------------- invariants
@st.composite
def small_instances(draw: st.DrawFn) -> FailoverInstance:
    """Two to four servers, up to five applications of up to three variants, all rules on or off."""
    servers = draw(st.integers(2, 4))
    count = draw(st.integers(1, 5))
    ladder = st.lists(st.integers(1, 12), min_size=1, max_size=3, unique=True)
    applications = {}
    for i in range(count):
        sizes = sorted(draw(ladder), reverse=True)
        accuracies = [0.9 - 0.05 * n - draw(st.integers(0, 4)) / 100 for n in range(len(sizes))]
        pairs = [(10.0 * m, a) for m, a in zip(sizes, accuracies, strict=True)]
        applications["ABCDE"[i]] = (draw(st.integers(0, servers - 1)), pairs)
    gflop = draw(st.sampled_from([0.0, 1.0]))
    used = [0.0] * servers
    for server, pairs in applications.values():
        used[server] += pairs[0][0] * gflop
    return build(
        applications,
        {k: float(draw(st.integers(0, 16)) * 10) for k in range(servers)},
        critical="".join(draw(st.sets(st.sampled_from("ABCDE")))),
        sites={k: f"site{draw(st.integers(0, 1))}" for k in range(servers)},
        weights={name: float(draw(st.sampled_from([1, 1, 2]))) for name in applications},
        gflop=gflop,
        compute=max(used) + draw(st.integers(0, 16)) * 10.0,
        site_rule=draw(st.booleans()),
        headroom=draw(st.sampled_from([0.0, 0.1, 0.4])),
        headroom_per_server=draw(st.booleans()),
        multiplexed_compute=draw(st.booleans()),
        scope=draw(st.sampled_from(["servers", "sites"])),
    )


@settings(deadline=None, derandomize=True, max_examples=60)
@given(instance=small_instances(), mode=st.sampled_from(["weighted", "coverage-first"]))
def test_formulation_equals_trying_everything(instance: FailoverInstance, mode: str) -> None:
    """Formulation on groups and exhaustive search on applications: one value, to 1e-9.

    Catches a grouping that forgets the home rule or the rates, rows of compute on the wrong
    servers or failures, and a headroom on the wrong resource.
    """
    if not instance.critical.any():
        assert place_backups(instance).count == 0
        return
    solved = place_backups(instance, mode=mode, mip_gap=0.0)
    tried = place_backups(instance, mode=mode, method="exact")
    greedy = place_backups(instance, mode=mode, method="greedy")
    assert solved.value == pytest.approx(tried.value, abs=1e-9)
    if mode == "coverage-first":
        assert solved.count == tried.count >= greedy.count
    else:
        assert solved.value >= greedy.value - 1e-9
    share = 1 - instance.parameters.headroom
    options = instance.candidates
    for found in (solved, tried, greedy):
        # I1 and I2: no server above its capacity, nobody at home, nor at the site of its home.
        assert warm_violations(instance, found.warm) == []
        placed = found.warm.placed
        assert instance.critical[placed].all()
        assert (found.warm.server[placed] != instance.home[placed]).all()
        # I3: the headroom is left.
        memory = options.memory_mb[found.warm.candidate[placed]]
        assert memory.sum() <= share * instance.free_mb.sum() + 1e-6
        if instance.parameters.headroom_per_server:
            used = np.bincount(found.warm.server[placed], memory, minlength=len(instance.servers))
            assert (used <= share * instance.free_mb + 1e-6).all()
        # I4: no more than one for each critical application.
        assert found.value <= instance.weight[instance.critical].sum() + 1e-9


@settings(deadline=None, derandomize=True, max_examples=15)
@given(instance=small_instances())
def test_more_freedom_is_never_worse(instance: FailoverInstance) -> None:
    """I4 and I5: less headroom, more memory, no site rule, multiplexed compute, one more variant.

    All by the exhaustive search, so that this tests the question and not a solver.
    """

    def best(changed: FailoverInstance) -> float:
        return place_backups(changed, method="exact").value

    base = best(instance)
    more = instance.tables["servers"]
    more["memory_mb"] += 40.0
    assert best(instance.replace(headroom=0.0)) >= base - 1e-9
    assert best(instance.replace(headroom=1.0)) <= 1e-9
    assert best(instance.replace(servers=more)) >= base - 1e-9
    assert best(instance.replace(site_rule=False)) >= base - 1e-9
    assert best(instance.replace(site_rule=True)) <= base + 1e-9
    assert best(instance.replace(headroom_per_server=False)) >= base - 1e-9
    shared = instance.replace(multiplexed_compute=True, headroom=0.0)
    assert best(shared) >= best(shared.replace(multiplexed_compute=False)) - 1e-9
    models = instance.tables["models"]
    small = models.iloc[[0]].assign(model="new", memory_mb=5.0, accuracy=0.3, gflop=0.0)
    table = models.merge(small, how="outer")
    assert best(instance.replace(models=table)) >= base - 1e-9


def test_greedy_is_not_monotone_but_exact_is_what_counts() -> None:
    """The exhaustive search equals plain enumeration that knows nothing of pruning."""
    instance = golden(headroom=0.3)
    options = instance.candidates
    best = 0.0
    ways = [
        [(NONE, NONE)] + [(c, k) for c in options.of(a) for k in range(3) if k != instance.home[a]]
        for a in range(4)
    ]
    for way in product(*ways):
        placed = [pair for pair in way if pair[0] != NONE]
        used = [sum(options.memory_mb[c] for c, k in placed if k == s) for s in range(3)]
        if all(u <= f for u, f in zip(used, instance.free_mb, strict=True)) and sum(
            used
        ) <= 0.7 * sum(instance.free_mb):
            best = max(best, sum(options.quality[c] for c, _ in placed))
    assert place_backups(instance, method="exact").value == pytest.approx(best, abs=1e-12)


# ------------------------------------------------------------------------------------ grouping
def test_like_applications_are_one_group_wherever_they_live() -> None:
    """Three like applications on two servers: one group, dealt out so that nobody is at home."""
    ladder = [(50.0, 0.9), (20.0, 0.8)]
    like = {name: (k, ladder) for name, k in (("A", 0), ("B", 0), ("C", 1))}
    instance = build(like, {0: 100.0, 1: 60.0, 2: 0.0}, critical="ABC", headroom=0.0)
    assert len(groups_of(instance, np.arange(3)).members) == 1
    found = place_backups(instance, mip_gap=0.0)
    assert found.groups == 1
    assert warm_violations(instance, found.warm) == []
    # At home on server 0 are two of three, so only one backup may stand there.
    assert (found.warm.server == 0).sum() == 1
    tried = place_backups(instance, method="exact")
    assert found.value == pytest.approx(tried.value, abs=1e-9)


def test_grouping_leaves_the_optimum_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a synthetic cluster groups of one each give the same optimum as groups."""
    instance = synthetic.generate(3, servers=6, applications=30, network_ms=0.0, rate_per_s=2.0)
    grouped = place_backups(instance, mip_gap=0.0, headroom=0.4)
    assert grouped.groups < grouped.count
    single = warm_backups.groups_of

    def alone(told: FailoverInstance, applications: np.ndarray) -> object:
        made = single(told, applications)
        members = tuple(np.array([a]) for a in applications.tolist())
        return type(made)(members, made.zone, made.compute)

    monkeypatch.setattr(warm_backups, "groups_of", alone)
    separate = place_backups(instance, mip_gap=0.0, headroom=0.4, time_limit_s=20)
    assert separate.groups == instance.critical.sum()
    assert separate.value <= grouped.bound + 1e-9  # type: ignore[operator]
    assert grouped.value <= separate.bound + 1e-9  # type: ignore[operator]
    assert separate.value == pytest.approx(grouped.value, rel=1e-3)


@pytest.mark.parametrize("multiplexed", [False, True])
def test_formulation_is_an_ordinary_pyomo_model(multiplexed: bool) -> None:
    """Pyomo builds the formulation from the same data, and it has the same optimum."""
    from optmodels.solver import solve_model

    instance = synthetic.generate(
        0, servers=4, sites=2, applications=10, compute_free_share=0.05,
        multiplexed_compute=multiplexed,
    )  # fmt: skip
    groups = groups_of(instance, np.flatnonzero(instance.critical))
    assert groups.compute
    data = model_data(instance, groups, 0.1)
    model = instance_of(formulation(), data)
    compiled = solve_model(formulation(), data=data, mip_gap=0.0)
    assert solve_model(model, mip_gap=0.0).objective == pytest.approx(compiled.objective)


@pytest.mark.parametrize(("homes", "count"), [((0, 0), 1), ((0, 1), 2)])
@pytest.mark.parametrize("method", ["milp", "exact", "greedy"])
def test_multiplexed_compute_counts_who_fails_together(
    method: str, homes: tuple[int, int], count: int
) -> None:
    """Two backups on one server with compute for one: fine unless one failure calls both.

    Catches rows for the wrong failures, and a grouping that forgets where a primary runs.
    """
    ladder = [(10.0, 0.9)]
    instance = build(
        {"A": (homes[0], ladder), "B": (homes[1], ladder), "C": (2, [(5.0, 0.9)])},
        {0: 0.0, 1: 0.0, 2: 30.0},
        critical="AB",
        gflop=1.0,
        compute=20.0,
        headroom=0.0,
        multiplexed_compute=True,
    )
    # Server s2 has 20 GFLOP/s, of which its own primary takes 5; a backup takes 10.
    assert place_backups(instance, method=method).count == count
    assert place_backups(instance.replace(multiplexed_compute=False), method=method).count == 1
