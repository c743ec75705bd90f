"""Pages on data: the tables of every problem from their declarations, and the trace readers."""

from __future__ import annotations

from pydantic_core import PydanticUndefined

from optmodels import registry, traces
from optmodels.schema import allowed_text, unit_of


def text() -> str:
    """One section per problem: its parameters and its tables, from their declarations."""
    parts = []
    for name in registry.problems():
        kind = registry.problem(name).instance
        parts.append(f"## `{name}`\n\nFormat version {kind.format_version}.\n")
        if kind.parameters_model.model_fields:
            parts.append(
                "**Parameters**, in the block `optmodels.parameters`:\n\n"
                "| parameter | allowed | default | meaning |\n|---|---|---|---|\n"
                + "".join(
                    _row(n, info, parameter=True)
                    for n, info in kind.parameters_model.model_fields.items()
                )
            )
        for label, table in kind.table_models.items():
            need = "" if table.required else ", optional"
            keys = ", ".join(f"`{column}`" for column in table.key)
            parts.append(
                f"### `{label}`{{#{name.replace('.', '-')}-{label}}}\n\n"
                f"{table.description.rstrip('.')}{need}. Key: {keys}.\n\n"
                "| column | allowed | meaning |\n|---|---|---|\n"
                + "".join(
                    _row(n, info, parameter=False) for n, info in table.row.model_fields.items()
                )
            )
    return "\n".join(parts)


def readers() -> str:
    """The formats that the readers of traces know."""
    lines = ["| reader | formats |", "|---|---|"]
    known = {
        "read_carbon": traces.FORMATS,
        "read_wind": traces.WIND_FORMATS,
        "read_latency": traces.LATENCY_FORMATS,
        "read_places": traces.PLACE_FORMATS,
    }
    for reader, names in known.items():
        lines.append(f"| `{reader}` | {', '.join(f'`{name}`' for name in names)} |")
    return "\n".join(lines)


def charts() -> str:
    """The charts of every problem, with the first line of what each says of itself."""
    lines = ["| problem | chart | what it shows |", "|---|---|---|"]
    for name in registry.problems():
        for label, chart in registry.problem(name).charts.items():
            words = (chart.__doc__ or "").strip().splitlines()[0].replace("|", "\\|")
            lines.append(f"| `{name}` | `{label}` | {words} |")
    return "\n".join(lines)


def _row(name: str, info, *, parameter: bool) -> str:  # type: ignore[no-untyped-def]
    allowed = allowed_text(info).replace("|", "\\|")
    meaning = (info.description or "").replace("|", "\\|")
    assert unit_of(info) is None or unit_of(info) in allowed
    if not parameter:
        return f"| `{name}` | {allowed} | {meaning} |\n"
    default = "must be given" if info.default is PydanticUndefined else f"{info.default}"
    return f"| `{name}` | {allowed} | {default} | {meaning} |\n"
