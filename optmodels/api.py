"""The few verbs of optmodels: load, generate, solve, explain, check.

Each takes an instance of any problem (or the path of its folder) and finds the problem by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from optmodels import registry
from optmodels.errors import AuditError, Flaw, InputError, UsageError
from optmodels.folder import BLOCK, read_descriptor
from optmodels.instance import Instance
from optmodels.plan import STATUSES, Plan
from optmodels.plan_file import StoredPlan, read_plan

#: Largest relative difference between the objective that a plan file claims and the audited one.
CLAIM_TOLERANCE = 1e-9


def load(path: str | Path) -> Instance:
    """Read an instance folder of any problem.

    Parameters
    ----------
    path
        Folder with a ``datapackage.json`` whose block ``optmodels`` names the problem.

    Returns
    -------
    Instance
        Of the class of its problem, validated completely.

    Raises
    ------
    InputError
        The folder is not a valid instance; every flaw found is listed.
    """
    name = read_descriptor(Path(path))[BLOCK]["problem"]
    try:
        problem = registry.problem(name)
    except UsageError as error:
        flaw = Flaw(
            str(error).rstrip("."),
            file="datapackage.json",
            field="problem",
            value=name,
            cause="a typing error, or a newer version of optmodels made the folder",
        )
        raise InputError(flaw) from None
    return problem.instance.load(path)


def generate(problem: str, *, seed: int = 0, **size: object) -> Instance:
    """Make a synthetic instance of a problem.

    Parameters
    ----------
    problem
        Name such as "scaling.job".
    seed
        Seed of every random choice: the same seed gives the same instance.
    size
        Size arguments of the problem's generator (see ``optmodels list``).

    Returns
    -------
    Instance
        Of the class of the problem; its `origin` names the command that makes it again.

    Raises
    ------
    UsageError
        The problem or a size argument is unknown.
    InputError
        A size is out of range.
    """
    found = registry.problem(problem)
    for name in size:
        if name not in found.sizes:
            raise UsageError.unknown("size", name, found.sizes)
    return found.generate(seed, **size)


def solve(
    instance: Instance | str | Path,
    *,
    method: str = "auto",
    time_limit_s: float | None = None,
    mip_gap: float = 1e-4,
    seed: int = 0,
    options: Mapping[str, object] | None = None,
) -> Plan:
    """Find the offline optimum of an instance, with a proven bound and an audit.

    Parameters
    ----------
    instance
        An instance, or the path of its folder.
    method
        "auto" picks the fastest exact method; the plan says which. See ``optmodels list``.
    time_limit_s
        Limit on the solver's time [s].
    mip_gap
        Relative gap at which a search may stop.
    seed
        Seed of the solver.
    options
        Further options of the solver by their own names; unknown ones are refused.

    Returns
    -------
    Plan
        Audited decisions; ``bound`` is proven, and ``gap`` says how far off the plan may be.

    Raises
    ------
    InfeasibleError
        No plan satisfies all limits; says which limits conflict.
    NoSolutionError
        The limit ended the search before a plan was found.
    UsageError
        A method or option is unknown.
    """
    inst = _instance(instance)
    problem = registry.problem(inst.problem)
    if method not in problem.methods:
        raise UsageError.unknown("method", method, problem.methods)
    plan = problem.solve(
        inst,
        method=method,
        time_limit_s=time_limit_s,
        mip_gap=mip_gap,
        seed=seed,
        options=dict(options or {}),
    )
    return registry.bind(inst, plan)


def explain(instance: Instance | str | Path) -> list[str]:
    """Say in the words of the problem which limits conflict; empty if none do.

    Parameters
    ----------
    instance
        An instance, or the path of its folder.

    Returns
    -------
    list of str
        One sentence per conflict; empty where the instance can be solved.
    """
    inst = _instance(instance)
    return registry.problem(inst.problem).explain(inst)


def check(instance: Instance | str | Path, plan: str | Path) -> Plan:
    """Audit the plan in a file against its instance.

    Parameters
    ----------
    instance
        The instance, or the path of its folder.
    plan
        File of the plan, as `Plan.save` writes it.

    Returns
    -------
    Plan
        The decisions of the file with their own audit; nothing else in it is believed.

    Raises
    ------
    InputError
        The file is not a plan, or it belongs to another instance.
    AuditError
        The plan breaks a limit, claims a cost that is not its own, or a bound above it.
    """
    return audited(_instance(instance), read_plan(plan), Path(plan).name)


def audited(instance: Instance, stored: StoredPlan, source: str) -> Plan:
    """Plan that somebody has stored, audited against its instance.

    Parameters
    ----------
    instance
        The instance that it should answer.
    stored
        Its decisions and claims.
    source
        Where it comes from, for messages: the name of a file.

    Raises
    ------
    InputError
        The plan belongs to another instance, or its status is none of a plan.
    AuditError
        The plan breaks a limit, claims a cost that is not its own, or a bound above it.
    """
    if stored.fingerprint != instance.fingerprint:
        raise InputError(
            Flaw(
                "belongs to another instance",
                file=source,
                field="fingerprint",
                value=stored.fingerprint[:12],
                allowed=f"{instance.fingerprint[:12]} ({instance.name})",
                cause="the instance was changed after the plan was made",
                fix="solve the instance again",
            )
        )
    if stored.claims["status"] not in STATUSES:
        raise InputError(
            Flaw(
                "is not the status of a plan",
                file=source,
                field="status",
                value=stored.claims["status"],
                allowed=" or ".join(STATUSES),
            )
        )
    audit = registry.problem(instance.problem).audit(instance, stored.tables)
    plan = Plan(
        problem=instance.problem,
        instance=instance.name,
        fingerprint=instance.fingerprint,
        maker=str(stored.claims["maker"]),
        status=str(stored.claims["status"]),
        bound=stored.claims["bound"],
        tables=stored.tables,
        audit=audit,
        provenance=stored.provenance,
    )
    claimed, bound = stored.claims["objective"], stored.claims["bound"]
    slack = CLAIM_TOLERANCE * abs(plan.objective)
    if not abs(claimed - plan.objective) <= slack:
        raise AuditError(
            f"The plan claims an objective of {claimed:.12g} {plan.cost.unit}; its decisions "
            f"cost {plan.objective:.12g} {plan.cost.unit}."
        )
    # A bound cannot be proven again from the plan alone, but it can be seen to be wrong.
    if bound is not None and not bound <= plan.objective + slack:
        raise AuditError(
            f"The plan claims a lower bound of {bound:.12g} {plan.cost.unit}, above its own "
            f"cost of {plan.objective:.12g} {plan.cost.unit}."
        )
    return registry.bind(instance, plan)


def _instance(given: Instance | str | Path) -> Instance:
    return given if isinstance(given, Instance) else load(given)
