"""Reports on a plan, and on policies beside the optimum."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from optmodels import registry
from optmodels.comparison import OPTIMUM, Comparison
from optmodels.errors import UsageError
from optmodels.plan import Plan
from optmodels.reports.markup import Html, joined, tag
from optmodels.reports.page import page
from optmodels.reports.parts import (
    Column,
    cards,
    listed,
    paragraph,
    picture,
    provenance,
    section,
    share_bar,
    table,
)
from optmodels.words import carbon_sentence, counts_carbon, quantity

#: Columns of the table of policies that stand first, and what is not shown in it.
_FIRST = ("policy", "total", "ratio", "certified_ratio", "saving", "granted")
_COSTS = "costs"
_LEFT_OUT = frozenset({"instance", "seconds"})


def plan_page(plan: Plan) -> str:
    """Page about one plan."""
    problem = registry.problem(plan.problem)
    return page(
        problem.title,
        _certificate(plan),
        section("What it costs", _costs({plan.maker: plan})),
        _pictures(list(_charts(plan, problem.charts))),
        _facts(plan),
        section("Provenance", provenance(plan)),
        subtitle=f"{plan.instance}: the plan of '{plan.maker}'",
        kicker=f"optmodels report · {plan.problem}",
    )


def comparison_page(comparison: Comparison) -> str:
    """Page about policies beside the optimum."""
    optimum = comparison.optimum
    problem = registry.problem(optimum.problem)
    shown = _told(comparison)
    pictures = [
        picture(comparison.plot(), "ratios: all policies beside the best possible."),
        picture(comparison.plot(_COSTS), "costs: what the plans cost, part by part."),
    ]
    # What the plans of all policies cost stands in one picture; theirs would only repeat it.
    kinds = [kind for kind in problem.charts if kind != _COSTS]
    pictures += _charts(optimum, kinds)
    # The first chart of the problem is enough to see how plans differ.
    for plan in list(shown.values())[1:]:
        pictures += _charts(plan, kinds[:1])
    return page(
        problem.title,
        _certificate(optimum, comparison),
        section("Policies", _reading(comparison), _policies(comparison), _skipped(comparison)),
        section("What it costs", _costs(shown)),
        _pictures(pictures),
        _facts(optimum),
        section("Provenance", provenance(optimum), _runs(comparison)),
        subtitle=f"{optimum.instance}: {len(comparison.plans)} policies beside the optimum",
        kicker=f"optmodels report · {optimum.problem}",
    )


def _certificate(plan: Plan, comparison: Comparison | None = None) -> Html:
    """What is proven: status, objective, bound and gap, and what follows from them."""
    unit = plan.cost.unit
    figures = {
        "status": (str(plan.status), ""),
        "objective": (quantity(plan.objective), unit),
        "proven bound": ("none", "") if plan.bound is None else (quantity(plan.bound), unit),
        "gap": ("unknown", "") if plan.gap is None else (f"{plan.gap:.2%}", "of the objective"),
    }
    saving = None if comparison is None else _saving(comparison)
    if saving is not None and comparison is not None:
        figures["saving"] = (f"{saving:.1%}", f"against '{comparison.baseline}'")
    if plan.bound is None:
        words = (
            "The audit recomputed the cost from the raw data and found no limit broken. Nothing is "
            "proven about how much less another plan could cost."
        )
    elif plan.gap is not None and plan.gap <= 1e-9:
        words = (
            f"No plan can cost less than {quantity(plan.objective)} {unit}: this one is optimal. "
            "The audit recomputed its cost from the raw data and found no limit broken."
        )
    else:
        words = (
            f"No plan can cost less than {quantity(plan.bound)} {unit}: this one is within "
            f"{plan.gap:.2%} of the best possible. The audit recomputed its cost from the raw data "
            "and found no limit broken."
        )
    return section("Certificate", cards(figures), paragraph(words, kind="lead"))


def _saving(comparison: Comparison) -> float | None:
    base = comparison.plans.get(comparison.baseline)
    if base is None or base.objective <= 0:
        return None
    return 1 - comparison.optimum.objective / base.objective


def _reading(comparison: Comparison) -> Html:
    over = "the optimum" if comparison.optimum.status == "optimal" else "the proven bound"
    return paragraph(
        f"The ratio is the cost over {over}; 'proven ≤' is what the theory promises for this "
        f"instance at most; savings are against '{comparison.baseline}'. 'was told' says what a "
        "policy knew beyond the past. A click on a head sorts.",
        kind="note",
    )


def _policies(comparison: Comparison) -> Html:
    frame = comparison.frame.sort_values("total", kind="stable")
    others = [str(name) for name in frame if name not in (*_FIRST, *_LEFT_OUT)]
    first = [name for name in _FIRST if name in frame]
    names = [*first[:-1], *others, first[-1]]
    # A quantity that nobody has says nothing.
    names = [name for name in names if name in first or not frame[name].isna().all()]
    records = frame.to_dict("records")
    columns = [
        Column(f"cost [{comparison.unit}]", numeric=True)
        if name == "total"
        else Column.named(name, [record[name] for record in records])
        for name in names
    ]
    rows = [[record[name] for name in names] for record in records]
    marked = frozenset(i for i, record in enumerate(records) if record["policy"] == OPTIMUM)
    return table(
        columns,
        rows,
        caption=f"{len(rows) - 1} policies and the optimum, the cheapest first",
        names=names,
        sortable=True,
        kind="policies",
        marked=marked,
    )


def _skipped(comparison: Comparison) -> Html:
    if not comparison.skipped:
        return joined()
    items = [f"{name}: {reason}" for name, reason in comparison.skipped.items()]
    return joined(paragraph("Left out, because they do not apply:"), listed(items))


def _told(comparison: Comparison) -> dict[str, Plan]:
    """The optimum, the best policy and the baseline."""
    found = {OPTIMUM: comparison.optimum}
    if comparison.plans:
        best = min(comparison.plans.values(), key=lambda plan: plan.objective)
        found[best.maker] = best
        base = comparison.plans.get(comparison.baseline, best)
        found[base.maker] = base
    return found


def _costs(plans: dict[str, Plan]) -> Html:
    """Cost split of plans side by side, with the shares of the first one as bars."""
    first, *_ = plans.values()
    makers = list(plans)
    names = list(first.cost.parts)
    size = sum(abs(part) for part in first.cost.parts.values())
    columns = [Column("part"), *(Column(maker, numeric=True) for maker in makers)]
    columns.append(Column(f"share of '{makers[0]}'"))
    rows: list[Sequence[object]] = []
    for name in names:
        share = first.cost.parts[name] / size if size > 0 else 0.0
        bar = joined(f"{share:.1%}", share_bar(share))
        costs = [plan.cost.parts.get(name) for plan in plans.values()]
        rows.append([Column.named(name, []).head, *costs, bar])
    rows.append(["total", *(plan.objective for plan in plans.values()), None])
    unit = first.cost.unit
    split = table(
        columns, rows, caption=f"Parts of the cost [{unit}]", marked=frozenset({len(names)})
    )
    beside = [
        [Column.named(name, []).head, *(plan.cost.quantities.get(name) for plan in plans.values())]
        for name in first.cost.quantities
    ]
    if not beside:
        return split
    caption = "Quantities beside the cost, which count nothing in it"
    return joined(split, table(columns[:-1], beside, caption=caption))


def _pictures(found: Sequence[Html]) -> Html:
    return section("Pictures", *found) if found else joined()


def _charts(plan: Plan, kinds: Iterable[str]) -> Iterator[Html]:
    """Charts of a plan; one that this plan cannot have is left out."""
    for kind in kinds if plan.question is not None else ():
        try:
            figure = plan.plot(kind)
        except UsageError:
            continue
        yield picture(figure, f"{kind}: the plan of '{plan.maker}' for {plan.instance}.")


def _facts(plan: Plan) -> Html:
    """What the instance says of itself; only its name where the plan came without it."""
    if plan.question is None:
        words = f"The plan is for {plan.instance}, whose data it came without."
        return section("The instance", paragraph(words))
    instance = plan.question.instance
    frame = instance.to_frame()
    rows = [[row.parameter, str(row.value), row.unit, row.meaning] for row in frame.itertuples()]
    heads = [Column("parameter"), Column("value"), Column("unit"), Column("meaning")]
    tables = [
        [name, len(frame), instance.table_models[name].description]
        for name, frame in instance.tables.items()
    ]
    sizes = [Column("table"), Column("rows", numeric=True), Column("what it holds")]
    notes = [joined("Name ", tag("b", instance.name), ", fingerprint ")]
    notes.append(tag("code", instance.fingerprint[:12]))
    about = [paragraph(*notes, ".")]
    if counts_carbon(instance):
        about.append(paragraph(f"Counts the {carbon_sentence(instance)}."))
    if instance.origin:
        about.append(paragraph("Origin: ", tag("code", instance.origin)))
    return section(
        "The instance",
        *about,
        table(heads, rows, caption="Parameters"),
        table(sizes, tables, caption="Tables"),
    )


def _runs(comparison: Comparison) -> Html:
    """How each policy decides, and how long that took."""
    rows = [
        [
            name,
            plan.provenance.method,
            "" if plan.provenance.seed is None else str(plan.provenance.seed),
            tag("time", f"{plan.provenance.seconds:.3g}"),
        ]
        for name, plan in comparison.plans.items()
    ]
    heads = [Column("policy"), Column("method"), Column("seed"), Column("seconds")]
    return table(heads, rows, caption="How the policies decide")
