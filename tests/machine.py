"""On what a result was measured, in one line, without the name of any machine."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version

#: What a result of the tests may depend on.
PACKAGES = ("numpy", "scipy", "pandas", "pyomo", "highspy", "cvxpy", "pytest")


def machine() -> str:
    """Cores, system and versions."""
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{os.cpu_count()} cores, {platform.system()}; Python {platform.python_version()}, "
        f"{versions}"
    )
