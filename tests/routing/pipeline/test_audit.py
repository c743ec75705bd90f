"""The audit: independent of the code that plans, and hard to deceive."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from optmodels.errors import InfeasibleError
from optmodels.routing.pipeline.audit import (
    Decision,
    audit,
    cost_of,
    decision_of,
    load_of,
    steps_of,
    tables_of,
)
from optmodels.routing.pipeline.optimum import solve
from optmodels.routing.pipeline.steps import Steps
from tests.routing.pipeline.instances import Judge, chain, small


def plan_tables(inst):
    """Tables of the optimum, to be broken."""
    return {name: frame.copy() for name, frame in solve(inst).tables.items()}


@pytest.mark.parametrize("seed", range(20))
def test_costs_and_latencies_are_those_of_the_judge(seed: int) -> None:
    """Costs, latency and cards of optimal plans, recomputed by code of its own."""
    inst = small(seed, 1 + seed % 2)
    try:
        plan = solve(inst)
    except InfeasibleError:
        return
    judge = Judge(inst)
    usd, weighted, cards = 0.0, 0.0, set()
    for name, rows in plan.tables["routes"].groupby("service"):
        ordered = rows.sort_values("position")
        places = list(zip(ordered["host"], ordered["device"], strict=True))
        kinds = tuple(ordered["transport"])[1:]
        route = next(
            r
            for r in judge.routes(str(name))
            if r["kinds"] == kinds and [p[:2] for p in r["places"]] == places
        )
        usd += route["usd"]
        weighted += judge.service[str(name)]["rate_per_s"] * route["delay"]
        cards |= route["cards"]
    bought = set(zip(plan.tables["cards"]["host"], plan.tables["cards"]["card"], strict=True))
    assert bought == cards
    assert plan.objective == pytest.approx(usd + judge.card_usd(cards), rel=1e-12)
    rates = inst.rates.sum()
    assert plan.cost["latency_ms"] == pytest.approx(weighted / rates, rel=1e-12)


def breaking():
    """Changes of a sound plan, each with the limit that it breaks."""

    def cell(row, column, value):
        def change(t):
            t["routes"].loc[row, column] = value

        return change

    def drop(t):
        t["routes"] = t["routes"].iloc[1:]

    def twice(t):
        t["routes"] = pd.concat([t["routes"], t["routes"].iloc[:1]])

    def no_cards(t):
        t["cards"] = t["cards"].iloc[:0]

    def unknown_card(t):
        t["cards"] = pd.concat(
            [t["cards"], pd.DataFrame({"host": ["client"], "card": ["gpudirect"]})]
        )

    def card_twice(t):
        t["cards"] = pd.concat([t["cards"], t["cards"].iloc[:1]])

    def no_column(t):
        t["routes"] = t["routes"].drop(columns="device")

    def no_table(t):
        del t["cards"]

    return {
        "known services": cell(0, "service", "nobody"),
        "place of a stage": cell(1, "host", "server"),
        "transport 'local'": cell(1, "transport", "local"),
        "transport 'tcp'": cell(0, "transport", "tcp"),
        "transport 'none'": cell(2, "transport", "none"),
        "stages of a route": drop,
        "stages of a route ": twice,
        "card for rdma": no_cards,
        "cards to buy": unknown_card,
        "cards to buy ": card_twice,
        "column 'device'": no_column,
        "column 'host' of table 'cards'": no_table,
    }


@pytest.mark.parametrize("limit", breaking())
def test_broken_plans_are_seen(limit: str) -> None:
    """Every way of breaking a plan is a violation of the right name."""
    inst = chain(("none", "offered", "offered"), gpudirect="offered", rate=1e4)
    hosts = inst.tables["hosts"].assign(gpus=lambda t: np.where(t["host"] == "server", 100, 0))
    inst = inst.replace(hosts=hosts)
    tables = plan_tables(inst)
    assert audit(inst, tables).ok
    assert len(tables["cards"]) == 3
    breaking()[limit](tables)
    found = audit(inst, tables)
    assert any(v.limit.startswith(limit.strip()) for v in found.violations), found


def test_latency_and_capacity_are_limits() -> None:
    """A plan for a slack question breaks the limits of a tight one."""
    inst = chain(("none", "none", "none"), rate=300.0)
    tables = plan_tables(inst)
    services = inst.tables["services"].assign(limit_ms=3.76)
    late = audit(inst.replace(services=services), tables)
    assert [v.limit for v in late.violations] == ["latency [ms]"]
    assert late.violations[0].value == pytest.approx(3.7696, abs=1e-6)
    full = audit(inst.replace(gpu_busy_max=0.5), tables)
    assert [v.where for v in full.violations] == ["GPUs of server"]
    # 300/s × (2.2 + 0.0751) ms of one GPU.
    assert full.violations[0].value == pytest.approx(0.3 * 2.2751011, rel=1e-6)
    assert full.violations[0].allowed == "at most 0.5"
    assert late.violations[0].allowed == "at most 3.76"


def test_what_is_busy() -> None:
    """Busy GPUs are the figure of the limit; cards are counted; tables lead back to the plan."""
    inst = chain(("none", "none", "none"), rate=300.0)
    tables = plan_tables(inst)
    cost = audit(inst, tables).cost
    assert cost["busy_gpus"] == pytest.approx(0.3 * 2.2751011, rel=1e-6)
    steps = Steps(inst)
    decision = decision_of(inst, tables)
    load = load_of(steps, [steps_of(steps, inst.services[0], decision.routes[0])])
    family = np.array(steps.resources.family, dtype=object)
    assert cost["busy_cores"] == pytest.approx(load[family == "cores"].sum())
    assert cost["busy_cores"] != pytest.approx(cost["busy_gpus"])
    assert cost["cards"] == 0
    for name, frame in tables_of(inst, decision).items():
        pd.testing.assert_frame_equal(frame, tables[name], check_dtype=False)


def test_violations_say_which_row() -> None:
    """Rows and positions are counted from 1."""
    inst = chain(("none", "offered", "offered"), gpudirect="offered", rate=1e4)
    hosts = inst.tables["hosts"].assign(gpus=lambda t: np.where(t["host"] == "server", 100, 0))
    inst = inst.replace(hosts=hosts)
    for change, expected in (
        (("routes", 2, "service", "nobody"), ("known services", "row 3 of 'routes'", 3)),
        (("cards", 1, "card", "abacus"), ("cards to buy", "row 2 of 'cards'", 2)),
        (("cards", 1, "host", 7), ("cards to buy", "row 2 of 'cards'", 2)),
    ):
        tables = plan_tables(inst)
        table, row, column, value = change
        tables[table] = tables[table].astype({column: object})
        tables[table].loc[row, column] = value
        first = audit(inst, tables).violations[0]
        assert (first.limit, first.where, first.value) == expected
    tables = plan_tables(inst)
    cards = tables["cards"]
    tables["cards"] = pd.concat([cards, cards.iloc[:1]], ignore_index=True)
    (twice,) = audit(inst, tables).violations
    assert (twice.where, twice.value, twice.allowed) == (
        f"row {len(cards) + 1} of 'cards'",
        len(cards) + 1,
        "each once",
    )
    name = inst.services[0].name
    for row, words, allowed in ((0, "tcp", "none"), (2, "none", "tcp, rdma, gpudirect")):
        tables = plan_tables(inst)
        tables["routes"].loc[row, "transport"] = words
        first = audit(inst, tables).violations[0]
        assert (first.limit, first.where) == (f"transport '{words}'", f"{name}, position {row + 1}")
        assert (first.value, first.allowed) == (row + 1, allowed)
    tables = plan_tables(inst)
    tables["routes"].loc[1, "host"] = "server"
    first = audit(inst, tables).violations[0]
    assert (first.where, first.value) == (f"{name}, position 2", 2)


def test_ties_are_audited() -> None:
    """A reply through another gateway than its request's is seen."""
    for seed in range(40):
        inst = small(seed)
        if "ties" not in inst.tables:
            continue
        try:
            tables = plan_tables(inst.replace(ties=None))
        except InfeasibleError:
            continue
        rows = tables["routes"].set_index("position")["host"]
        last = len(rows) - 1
        if rows[2] != rows[last]:
            found = audit(inst, tables)
            service, host = inst.services[0].name, rows[2]
            (tie,) = (v for v in found.violations if v.limit == "stages that share a host")
            assert (tie.where, tie.value, tie.allowed) == (
                f"{service}, positions 2 and {last}",
                last,
                f"at {host}, both",
            )
            return
    pytest.fail("no instance has an optimum that breaks its tie")


def test_cards_are_summed_in_a_fixed_order() -> None:
    """The last digit is that of the cards in order, whatever order a set has in this process.

    Sums in the order of a set differ between processes, and so do tables of studies.
    """
    inst = small(0, 1)
    rng = np.random.default_rng(7)
    for _ in range(10):
        steps = Steps(inst)
        steps.offered = {(v, "rdma"): float(price) for v, price in enumerate(rng.random(12))}
        shuffled = rng.permutation(12).tolist()
        bought = frozenset((v, "rdma") for v in shuffled)
        decision = Decision((None,) * len(inst.services), bought)
        found = cost_of(inst, steps, decision, [None] * len(inst.services))
        assert found["cards_usd"] == sum(steps.offered.values())
