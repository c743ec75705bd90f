"""``optmodels list``: problems, methods, sizes and policies."""

from __future__ import annotations

import typer

from optmodels.cli import catalogue
from optmodels.cli.options import Json


def list_problems(json: Json = False) -> None:
    """List problems, their methods, generator sizes and policies."""
    typer.echo(catalogue.text(as_json=json), nl=False)
