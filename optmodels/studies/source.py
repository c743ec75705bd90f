"""Which code a result depends on, as a digest.

A stored result is worth something as long as the code that made it is the same. Hashing all of the
package would throw away everything at every change; hashing one module would miss the audit below
it. So the digest of a result is taken over the *closure* of the modules that its functions live in:
the modules themselves, whatever they import from this package, and so on, found by reading their
source without running it. An import inside a function counts as well. A package's own
``__init__`` is in the closure where somebody imports a name that it defines, and not just because
one of its modules is.

Versions of the numerical libraries are part of the digest, those of other problems' code are not.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from optmodels.plan import installed_versions

_PACKAGE = "optmodels"
_ROOT = Path(__file__).resolve().parent.parent


def code_digest(functions: Iterable[object]) -> str:
    """Digest of the source that classes and functions depend on within this package.

    Parameters
    ----------
    functions
        Classes or functions. One of a foreign module counts with that module's source only; one
        that was typed into a session, of which there is no source file, with its name only.
    """
    modules = frozenset(str(getattr(function, "__module__", "")) for function in functions)
    return _digest(modules)


@lru_cache(maxsize=256)
def _digest(modules: frozenset[str]) -> str:
    found = hashlib.sha256()
    for module in sorted(closure(modules)):
        path = source_of(module)
        found.update(f"{module}\0".encode())
        if path is not None:
            found.update(path.read_bytes())
    for name, version in sorted(installed_versions().items()):
        # The package's own version changes with its code, which is looked at itself.
        if name != _PACKAGE:
            found.update(f"{name} {version}\0".encode())
    return found.hexdigest()


def closure(modules: Iterable[str]) -> set[str]:
    """These modules and all modules of this package that they import, directly or not."""
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module in found:
            continue
        found.add(module)
        if module.split(".")[0] == _PACKAGE:
            waiting += _imports(module)
    return found


@lru_cache(maxsize=4096)
def source_of(module: str) -> Path | None:
    """Source file of a module, which is not imported for it; None where it has none."""
    first, *inner = module.split(".")
    if first == _PACKAGE:
        place = _ROOT.joinpath(*inner)
        candidates = [place / "__init__.py", place.with_suffix(".py")]
    else:
        # Whoever defined a class has been imported.
        loaded = getattr(sys.modules.get(module), "__file__", None)
        candidates = [Path(loaded)] if loaded else []
    return next((path for path in candidates if path.suffix == ".py" and path.is_file()), None)


@lru_cache(maxsize=4096)
def _imports(module: str) -> tuple[str, ...]:
    """Modules of this package that a module's source imports, anywhere in it."""
    path = source_of(module)
    if path is None:
        return ()
    here = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found: list[str] = []
    for node in _statements(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = here.split(".")[: len(here.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            for alias in node.names:
                inside = f"{base}.{alias.name}"
                found.append(inside if _exists(inside) else base)
    return tuple(name for name in dict.fromkeys(found) if name.split(".")[0] == _PACKAGE)


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """All statements of a tree; expressions, which import nothing, are not looked into."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for block in ("body", "orelse", "finalbody", "handlers", "cases"):
            inner = getattr(node, block, None)
            if isinstance(inner, list):
                waiting += inner


@lru_cache(maxsize=16384)
def _exists(module: str) -> bool:
    """Whether a dotted name of this package is a module."""
    if module.split(".", maxsplit=1)[0] != _PACKAGE:
        return False
    return source_of(module) is not None
