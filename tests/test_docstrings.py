"""Docstrings: what the public face promises about arguments, results and errors."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import textwrap
from pathlib import Path

import pytest

import optmodels as om
from optmodels import registry

PACKAGE = Path(om.__file__).parent
#: Rooms of the problems that users call: where instances come from, and what is done with them.
ROOMS = tuple(
    f"optmodels.{problem}.{path.stem}"
    for problem in registry.problems()
    for path in sorted((PACKAGE / problem.replace(".", "/")).glob("*.py"))
    if path.stem
    in ("synthetic", "pool", "stochastic", "scenarios", "risk", "firmness", "judging", "migration")
    or path.stem.startswith("from_")
)
#: Packages and modules with a face of their own.
FACES = (
    "optmodels",
    "optmodels.interop",
    "optmodels.rolling",
    "optmodels.scaling.efficiency",
    "optmodels.scaling.job.exact",
    "optmodels.solver",
    "optmodels.solver.template",
    "optmodels.studies",
    "optmodels.trade_off",
    "optmodels.traces",
    "optmodels.ensembles.multilevel",
    *ROOMS,
)
#: What every policy's docstring says, as the catalogue of algorithms reads it.
FACTS = ("Assumptions", "Proven ratio", "Complexity", "Reference")


def public(face):
    """Functions and classes of a face, with the methods of what users hold in their hands."""
    module = importlib.import_module(face)
    own = [
        name
        for name, thing in vars(module).items()
        if getattr(thing, "__module__", "") == face and not name.startswith("_")
    ]
    for name in getattr(module, "__all__", own):
        thing = getattr(module, name)
        if not (inspect.isfunction(thing) or inspect.isclass(thing)):
            continue
        yield f"{face}.{name}", thing
        if inspect.isclass(thing) and face == "optmodels":
            for label, value in vars(thing).items():
                wrapped = isinstance(value, (classmethod, staticmethod))
                member = value.__func__ if wrapped else value
                if not label.startswith("_") and inspect.isfunction(member):
                    yield f"{face}.{name}.{label}", member


def raised(function):
    """Names of the errors that a function raises in its own body."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    for node in ast.walk(tree):
        call = node.exc if isinstance(node, ast.Raise) else None
        made = call.func if isinstance(call, ast.Call) else None
        if isinstance(made, ast.Attribute):
            made = made.value
        if isinstance(made, ast.Name) and made.id[0].isupper():
            yield made.id


def section(doc, title):
    """Text of one section of a numpy-style docstring, empty where there is none."""
    match = re.search(rf"^{title}\n-+\n(.*?)(?=^\w[\w ]*\n-+\n|\Z)", doc, re.MULTILINE | re.DOTALL)
    return match[1] if match else ""


def flaws(path, thing):
    """What the docstring of something public lacks."""
    doc = inspect.getdoc(thing) or ""
    if not doc:
        return [f"{path} has no docstring"]
    if inspect.isclass(thing):
        return []
    signature = inspect.signature(thing)
    wanted = [n for n in signature.parameters if n not in ("self", "cls") and n[0] != "_"]
    told = section(doc, "Parameters")
    headings = re.findall(r"^\S.*$", told, flags=re.MULTILINE)
    named = {n.strip(" *:") for line in headings for n in line.split(":")[0].split(",")}
    found = [f"{path} does not say what '{name}' is" for name in wanted if name not in named]
    gives = signature.return_annotation not in (None, "None")
    if gives and not (section(doc, "Returns") or section(doc, "Yields")):
        found.append(f"{path} has no section Returns")
    errors = section(doc, "Raises")
    found += [
        f"{path} does not say when it raises {e}" for e in set(raised(thing)) if e not in errors
    ]
    return found


@pytest.mark.parametrize("face", FACES)
def test_public_docstrings_are_complete(face):
    """Each public function names all parameters, what it returns, and the errors it raises."""
    found = [flaw for path, thing in public(face) for flaw in flaws(path, thing)]
    assert not found, "\n".join(found)


def test_everything_without_an_underscore_has_a_docstring():
    """Modules, classes, functions and methods: all say what they are for."""
    missing = []
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        places = [("", tree.body)]
        if not ast.get_docstring(tree):
            missing.append(path.name)
        while places:
            where, body = places.pop()
            for node in body:
                kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
                if not isinstance(node, kinds) or node.name.startswith("_"):
                    continue
                overload = any("overload" in ast.dump(d) for d in node.decorator_list)
                setter = any(isinstance(d, ast.Attribute) for d in node.decorator_list)
                if not ast.get_docstring(node) and not overload and not setter:
                    missing.append(f"{path.relative_to(PACKAGE)}: {where}{node.name}")
                if isinstance(node, ast.ClassDef):
                    places.append((f"{where}{node.name}.", node.body))
    assert not missing


@pytest.mark.parametrize("problem", registry.problems())
def test_every_policy_says_what_is_proven_about_it(problem):
    """Each policy's docstring has the four facts of the catalogue, and they agree with the code.

    A docstring that promised a ratio where the guarantees hold none would be an over-claim.
    """
    for name, kind in registry.problem(problem).policies.items():
        doc = inspect.cleandoc(kind.__doc__ or "")
        notes = section(doc, "Notes")
        said = {}
        for fact in FACTS:
            match = re.search(rf"^- {fact}: (.+?)(?=^- |\Z)", notes, re.MULTILINE | re.DOTALL)
            assert match, f"{problem} {name} does not say: {fact}"
            said[fact] = " ".join(match[1].split())
            assert said[fact].endswith("."), f"{name}: {fact}"
        guarantee = kind.guarantee
        proven = guarantee is not None and getattr(guarantee, "limit", guarantee) is not None
        assert said["Proven ratio"].startswith("none") != proven, f"{name}: {said['Proven ratio']}"
