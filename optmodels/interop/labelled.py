"""Plans as labelled arrays of xarray, and back.

`to_xarray` gives a tree: at its root how the plan was made, below it the cost with its units, and
one dataset for each table of the plan. Where a table has at most one row per label its columns
become arrays over these labels (the size of each site; the power of each site in each slot), with
NaN where the plan has no row. Other tables stay lists: one
dimension ``entry``, and the labels as coordinates along it.

Times are UTC; arrays of xarray carry no zone, so they are naive here and say it in their
attributes. `from_xarray` restores the tables to the last digit and audits them again: what somebody
has changed on the way is a new plan, or none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optmodels.api import audited
from optmodels.errors import Flaw, InputError, MissingExtraError
from optmodels.instance import Instance
from optmodels.plan import Plan, Provenance
from optmodels.plan_file import StoredPlan

if TYPE_CHECKING:
    import xarray

#: Dimension of a table that is a list.
ENTRY = "entry"

#: Node of the cost.
COST = "cost"

#: Labels of the tables of each problem that become dimensions. Tables that are not here stay rows:
#: their labels are too many for dense arrays, or several rows may share them.
DIMENSIONS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "scaling.job": {"schedule": ("time",), "shares": ("time", "servers")},
    "scaling.cluster": {"jobs": ("job",)},
    "rightsizing.sites": {"sizes": ("site",), "dispatch": ("time", "site")},
    "routing.sites": {
        "configuration": ("time", "site", "tp"),
        "running": ("time", "site", "row"),
    },
    "placement.edge": {"power": ("group",)},
    "placement.accelerators": {"placement": ("app",)},
}

#: Ends of names of columns, and the unit that each stands for; the longest that fits counts.
UNITS: Mapping[str, str] = {
    "_g_per_kwh": "g/kWh",
    "_requests_per_s": "1/s",
    "_per_s": "1/s",
    "_per_gpu_hour": "1/(GPU h)",
    "_kwh": "kWh",
    "_kw": "kW",
    "_g": "g",
    "_ms": "ms",
    "_mb": "MB",
    "_usd": "USD",
    "_hours": "h",
    "_slots": "slots",
    "_slot": "slots",
    "_gpus": "GPUs",
    "_j": "J",
    "_s": "s",
}
_WHOLE_NAMES = {
    "servers": "servers",
    "gpus": "GPUs",
    "requests_per_s": "1/s",
    "share": "1",
    "slot": "slots",
}
_EXACT = 2**53


def unit_of(name: str) -> str | None:
    """Unit that the name of a column says, None where it says none."""
    if name in _WHOLE_NAMES:
        return _WHOLE_NAMES[name]
    fitting = [end for end in UNITS if name.endswith(end)]
    return UNITS[max(fitting, key=len)] if fitting else None


def to_xarray(plan: Plan) -> xarray.DataTree:
    """Plan as a tree of labelled arrays.

    Parameters
    ----------
    plan
        The plan.

    Returns
    -------
    xarray.DataTree
        At the root the attributes ``problem``, ``instance``, ``fingerprint``, ``maker``,
        ``status``, ``bound`` and ``provenance`` (JSON). A child ``cost`` with one number for each
        column of the cost, and one child for each table; ``units`` are attributes.

    Raises
    ------
    MissingExtraError
        xarray is not installed (extra "xarray").
    """
    xarray = _xarray()
    unit = plan.cost.unit
    costs = {
        name: ((), value, _unit(unit if name in ("total", *plan.cost.parts) else unit_of(name)))
        for name, value in plan.cost.columns.items()
    }
    about = {
        "problem": plan.problem,
        "instance": plan.instance,
        "fingerprint": plan.fingerprint,
        "maker": plan.maker,
        "status": str(plan.status),
        # An attribute of a file cannot be nothing.
        **({} if plan.bound is None else {"bound": plan.bound}),
        "provenance": json.dumps(asdict(plan.provenance), default=str),
    }
    declared = DIMENSIONS.get(plan.problem, {})
    nodes = {
        f"/{name}": _dataset(xarray, frame, declared.get(name, ()))
        for name, frame in plan.tables.items()
    }
    root = {"/": xarray.Dataset(attrs=about), f"/{COST}": xarray.Dataset(costs)}
    return xarray.DataTree.from_dict({**root, **nodes})


def from_xarray(instance: Instance, tree: xarray.DataTree) -> Plan:
    """Plan from a tree of labelled arrays, audited against its instance.

    Parameters
    ----------
    instance
        The instance that the plan answers.
    tree
        As `to_xarray` gives it.

    Returns
    -------
    Plan
        The decisions of the tree with their own audit.

    Raises
    ------
    MissingExtraError
        xarray is not installed (extra "xarray").
    InputError
        The tree is not that of a plan, or belongs to another instance.
    AuditError
        The decisions break a limit, or do not cost what the tree says.
    """
    xarray = _xarray()
    if not isinstance(tree, xarray.DataTree):
        what, allowed = f"is a {type(tree).__name__}", "a tree as to_xarray gives it"
        raise InputError(Flaw(what, field="tree", allowed=allowed))
    about = tree.attrs
    wanted = ("problem", "fingerprint", "maker", "status", "provenance")
    flaws = [Flaw("is missing", field=f"attribute {k}") for k in wanted if k not in about]
    if COST not in tree.children or "total" not in tree[COST].data_vars:
        flaws.append(Flaw("is missing", field="total of the node cost"))
    if flaws:
        raise InputError(flaws, "tree of a plan")
    try:
        provenance = Provenance(**json.loads(about["provenance"]))
    except (TypeError, ValueError):
        flaw = Flaw("is not what to_xarray has written", field="attribute provenance")
        raise InputError(flaw, "tree of a plan") from None
    bound = about.get("bound")
    claims = {
        "maker": about["maker"],
        "status": about["status"],
        "objective": float(tree[COST]["total"]),
        "bound": None if bound is None else float(bound),
    }
    tables = {
        str(name): _frame(str(name), node.to_dataset())
        for name, node in tree.children.items()
        if name != COST
    }
    stored = StoredPlan(str(about["fingerprint"]), claims, tables, provenance)
    return audited(instance, stored, "tree")


def _unit(unit: str | None) -> dict[str, str]:
    return {} if unit is None else {"units": unit}


def _dataset(xarray: Any, frame: pd.DataFrame, labels: Sequence[str]) -> xarray.Dataset:
    """A table as arrays over its labels, or as a list of entries."""
    about = {"columns": [str(name) for name in frame.columns]}
    dense = _dense(frame, labels) if labels else None
    if dense is None:
        listed = {
            str(name): (ENTRY, _plain(values), _attributes(str(name), values))
            for name, values in frame.items()
        }
        texts = [str(name) for name, values in frame.items() if not _is_number(values)]
        made: xarray.Dataset = xarray.Dataset(listed, attrs=about).set_coords(texts)
        return made
    axes, place = dense
    shape = tuple(len(axis) for axis in axes.values())
    arrays = {}
    for name, values in frame.items():
        if name in axes:
            continue
        cells = _plain(values)
        if len(frame) < np.prod(shape):
            full = np.full(int(np.prod(shape)), np.nan)
            full[place] = cells
            cells = full
        arrays[str(name)] = (tuple(axes), cells.reshape(shape), _attributes(str(name), values))
    coordinates = {
        name: (name, _plain(axis), _attributes(name, axis)) for name, axis in axes.items()
    }
    return xarray.Dataset(arrays, coordinates, attrs=about)


def _dense(
    frame: pd.DataFrame, labels: Sequence[str]
) -> tuple[dict[str, pd.Series[Any]], NDArray[np.int64]] | None:
    """Axes of a table and the place of each row in the array over them.

    None where the rows could not be restored: labels that repeat, another order of rows than that
    of an array, holes beside texts or beside numbers that are NaN themselves.
    """
    values = [name for name in frame.columns if name not in labels]
    if not values or not len(frame) or any(label not in frame for label in labels):
        return None
    if any(values_.isna().any() for _, values_ in frame.items()):
        return None
    for sort in (False, True):
        axes: dict[str, pd.Series[Any]] = {}
        codes = []
        for label in labels:
            code, axis = pd.factorize(frame[label], sort=sort)
            axes[label] = pd.Series(axis, dtype=frame[label].dtype)
            codes.append(code)
        shape = tuple(len(axis) for axis in axes.values())
        place = np.ravel_multi_index(tuple(codes), shape).astype(np.int64)
        if (np.diff(place) > 0).all():
            break
    else:
        return None
    if len(frame) < np.prod(shape):
        exact = all(
            _is_number(frame[name]) and (frame[name].abs() <= _EXACT).all() for name in values
        )
        if not exact:
            return None
    return axes, place


def _frame(name: str, dataset: xarray.Dataset) -> pd.DataFrame:
    """The table that `_dataset` has made a dataset of."""
    columns = dataset.attrs.get("columns")
    if columns is None or any(column not in dataset.variables for column in columns):
        raise InputError(
            Flaw("lacks a column of the plan, or the list of them", field=f"node {name}"),
            "tree of a plan",
        )
    order = list(dataset.sizes)
    if order != [ENTRY]:
        # In the order in which the labels stand in the table, so that its rows come back in order.
        labels = [column for column in columns if column in order]
        dataset = dataset.transpose(*labels)
        shape = tuple(dataset.sizes[label] for label in labels)
        spread = np.indices(shape).reshape(len(shape), -1)
        at = dict(zip(labels, spread, strict=True))
    data: dict[str, pd.Series[Any]] = {}
    absent: NDArray[np.bool_] | bool = False
    for column in columns:
        array = dataset[column]
        cells = np.asarray(array.values).reshape(-1)
        if order != [ENTRY] and column in order:
            cells = cells[at[column]]
        elif order != [ENTRY] and cells.dtype.kind == "f":
            absent = absent | np.isnan(cells)
        data[column] = pd.Series(cells)
    kept = np.ones(len(next(iter(data.values()), [])), dtype=bool) & ~np.asarray(absent)
    return pd.DataFrame(
        {
            column: _restored(values[kept].reset_index(drop=True), dataset[column].attrs, column)
            for column, values in data.items()
        },
        columns=list(columns),
    )


def _is_number(values: pd.Series[Any]) -> bool:
    return values.dtype.kind in "iuf"


def _plain(values: pd.Series[Any]) -> NDArray[Any]:
    """Cells as xarray takes them: times without a zone, texts as numpy has them."""
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        return np.asarray(values.dt.tz_convert("UTC").dt.tz_localize(None))
    if values.dtype.kind in "iufb":
        return values.to_numpy(copy=True)
    cells = values.tolist()
    if all(isinstance(cell, str) for cell in cells):
        return np.array(cells, dtype=np.str_)
    return np.array(cells, dtype=object)


def _attributes(name: str, values: pd.Series[Any]) -> dict[str, str]:
    """Unit, and what is needed to restore the column."""
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        return {"timezone": "UTC", "resolution": str(values.dt.unit)}
    kept = {"dtype": str(values.dtype)}
    unit = unit_of(name) if _is_number(values) else None
    return kept if unit is None else {"units": unit, **kept}


def _restored(values: pd.Series[Any], about: Mapping[str, Any], name: str) -> pd.Series[Any]:
    try:
        if "timezone" in about:
            moments = pd.DatetimeIndex(values).as_unit(about.get("resolution", "ns"))
            return pd.Series(moments.tz_localize("UTC"))
        if "dtype" in about:
            # Texts are text or object, as the version of pandas has it.
            kind = about["dtype"]
            known = kind if np.dtype(kind if kind != "str" else "O").kind in "iufbO" else "object"
            return pd.Series(values.tolist(), dtype=known)
    except (TypeError, ValueError):
        pass
    raise InputError(
        Flaw("does not say how to restore it, or holds something else", field=f"column {name}"),
        "tree of a plan",
    )


def _xarray() -> Any:
    try:
        import xarray
    except ModuleNotFoundError as error:
        if error.name != "xarray":
            raise
        raise MissingExtraError("xarray", "xarray", "A plan as labelled arrays") from None
    return xarray
