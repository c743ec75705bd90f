"""Pages of the interface: which modules stand on which page; mkdocstrings writes the rest."""

from __future__ import annotations

from pathlib import Path

import optmodels
from optmodels import registry

PACKAGE = Path(optmodels.__file__).parent
#: Rooms of a problem that are for its users, in reading order; a problem has most of them.
ROOMS = (
    "instance", "model", "audit", "optimum", "conversion.guarantees",
    "synthetic", "from_trace", "from_traces", "from_wind", "from_series", "from_maps",
    "from_events", "pool", "figures", "charts", "weighted", "stochastic", "scenarios", "risk",
    "firmness", "headroom", "warm_backups", "judging", "migration", "simulation", "serving",
)  # fmt: skip
SHARED = {
    "policy": ("Policies, replay, forecasts", ("policy", "forecast", "rolling")),
    "data": ("Instances, plans, schemas", ("instance", "plan", "plan_file", "schema", "registry")),
    "errors": ("Errors", ("errors",)),
    "solver": ("Solver layer", ("solver", "solver.live", "solver.template.data")),
    "traces": ("Readers of traces", ("traces",)),
    "multilevel": ("Multi-level ensembles", ("ensembles.multilevel",)),
    "queueing": ("Queueing formulas", ()),
    "interop": ("Interoperation", ("interop",)),
}


def pages() -> dict[str, str]:
    """One page for the public face, one per shared part, one per problem."""
    # Results share how they are saved; here it stands with each of them.
    options = "    options:\n      inherited_members: [save]\n"
    names = sorted(optmodels.__all__, key=_order)
    face = "\n".join(f"::: optmodels.{name}\n{options}" for name in names)
    made = {"reference/face.md": f"# The public face\n\n`import optmodels as om`\n\n{face}"}
    for key, (title, modules) in SHARED.items():
        present = [name for name in modules or _inside(key) if _exists(name)]
        if present:
            made[f"reference/{key}.md"] = _page(title, present)
    for name in registry.problems():
        problem = registry.problem(name)
        rooms = [f"{name}.{room}" for room in ROOMS if _exists(f"{name}.{room}")]
        deciding = {
            kind.__module__.removeprefix("optmodels.") for kind in problem.policies.values()
        }
        rooms[3:3] = sorted(deciding - set(rooms))
        made[f"reference/{name.replace('.', '-')}.md"] = _page(f"`{name}`", rooms)
    return made


def _order(name: str) -> tuple[bool, str]:
    """Functions first, then classes."""
    return name[0].isupper(), name


def _inside(package: str) -> list[str]:
    return sorted(f"{package}.{p.stem}" for p in (PACKAGE / package).glob("[!_]*.py"))


def _exists(module: str) -> bool:
    path = PACKAGE.joinpath(*module.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def _page(title: str, modules: list[str]) -> str:
    return f"# {title}\n\n" + "\n".join(f"::: optmodels.{name}\n" for name in modules)
