"""Plans: exact round trips, tampered files, and reprs that cannot be abused."""

from __future__ import annotations

import contextlib
import json

import numpy as np
import pandas as pd
import pytest

from optmodels.api import check
from optmodels.errors import AuditError, InputError, OptmodelsError, UsageError
from optmodels.plan import Audit, Cost, Plan, Provenance, Violation, installed_versions
from optmodels.plan_file import read_plan
from optmodels.scaling.job.audit import audit, tables_of
from tests.scaling.job.instances import CONCAVE, job


def instance():
    """Eight slots with awkward numbers."""
    rng = np.random.default_rng(4)
    return job(rng.uniform(0, 500, 8) / 3, profile=CONCAVE, work=7.3, switching_g=20 / 3)


def made(inst=None, **changes):
    """Audited plan with shares that need every digit."""
    inst = inst or instance()
    rng = np.random.default_rng(5)
    shares = rng.dirichlet(np.ones(5), inst.slots)
    worked = (shares @ inst.profile.throughput).sum()
    shares[:, 1:] *= inst.parameters.work / worked
    tables = tables_of(inst, shares[:, 1:])
    found = audit(inst, tables)
    words = {
        "problem": inst.problem,
        "instance": inst.name,
        "fingerprint": inst.fingerprint,
        "maker": "by hand",
        "status": "feasible",
        "bound": found.cost.total / 3,
        "tables": tables,
        "audit": found,
        "provenance": Provenance("a test", 0.1 + 0.2, {"gap": 1e-4}, seed=7),
    }
    return Plan(**(words | changes))


@pytest.fixture
def file(tmp_path):
    """A saved plan, to be tampered with."""
    return made().save(tmp_path / "plan.json")


def test_saving_and_checking_keeps_every_digit(tmp_path):
    """All numbers, times and words come back; a second saving writes the same bytes."""
    plan = made()
    path = plan.save(tmp_path / "new" / "plan.json")
    again = check(instance(), path)
    assert again.summary() == plan.summary()
    assert again.provenance == plan.provenance
    for name, frame in plan.tables.items():
        pd.testing.assert_frame_equal(again.tables[name], frame, check_exact=True)
    assert again.save(tmp_path / "again.json").read_bytes() == path.read_bytes()
    assert not [p for p in path.parent.iterdir() if p != path]


def test_gaps_and_types_of_columns_come_back(tmp_path):
    """NaN, whole numbers, truth values and words keep their types."""
    frame = pd.DataFrame(
        {
            "gap": [1.5, np.nan],
            "whole": [2**53 + 1, -1],
            "yes": [True, False],
            "word": ["é", "<b>"],
            "round": [1.0, 2.0],
            "time": pd.to_datetime(["2022-06-01T00:00:00.123456789Z"] * 2),
        }
    )
    frame["time"] = frame["time"].dt.as_unit("ns")
    path = made(tables={"t": frame, "empty": frame.iloc[:0]}).save(tmp_path / "plan.json")
    stored = read_plan(path)
    pd.testing.assert_frame_equal(stored.tables["t"], frame, check_exact=True, check_dtype=False)
    kinds = [dtype.kind for dtype in stored.tables["t"].dtypes]
    assert kinds[:3] == ["f", "i", "b"]
    assert kinds[4] == "f"
    assert stored.tables["empty"].empty


def test_options_of_any_kind_can_be_saved(tmp_path):
    """Numbers of numpy stay numbers; what JSON does not know becomes text."""
    options = {"n": np.int64(3), "x": np.float32(0.5), "path": tmp_path, "no": None}
    path = made(provenance=Provenance("m", 0.0, options)).save(tmp_path / "plan.json")
    stored = read_plan(path).provenance
    assert stored.options == {"n": 3, "x": 0.5, "path": str(tmp_path), "no": None}


def test_infinite_numbers_are_not_written(tmp_path):
    """JSON has none; nothing is left behind."""
    with pytest.raises(InputError, match="not finite"):
        made(bound=-np.inf).save(tmp_path / "plan.json")
    assert not list(tmp_path.iterdir())


def tamper(file, *path, value=None, change=None):
    """Change one place of the file."""
    content = json.loads(file.read_text())
    place = content
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value if change is None else change(place[path[-1]])
    file.write_text(json.dumps(content))


COLUMNS = ("tables", "shares", "columns")
BOOKS = ("tables", "schedule", "columns")


def without_first(values):
    """A column that has lost its first cell."""
    return values[1:]


TAMPERED = {
    "objective lowered": (("objective",), lambda v: v * (1 - 1e-8), AuditError, "claims an object"),
    "objective raised": (("objective",), lambda v: v + 1e-5, AuditError, "claims an objective"),
    "objective text": (("objective",), str, InputError, "objective"),
    "objective true": (("objective",), bool, InputError, "objective"),
    "objective huge": (("objective",), lambda _: 10**400, InputError, "objective"),
    "bound above the cost": (("bound",), lambda v: v * 4, AuditError, "claims a lower bound"),
    "bound text": (("bound",), str, InputError, "bound"),
    "status unknown": (("status",), lambda _: "infeasible", InputError, "status"),
    "status a list": (("status",), lambda v: [v], InputError, "status"),
    "fingerprint": (("fingerprint",), lambda v: v[::-1], InputError, "another instance"),
    "fingerprint a number": (("fingerprint",), lambda _: 3, InputError, "fingerprint"),
    "version newer": (("optmodels_plan",), lambda _: 2, InputError, "newer"),
    "version 0": (("optmodels_plan",), lambda _: 0, InputError, "optmodels_plan"),
    "version text": (("optmodels_plan",), str, InputError, "optmodels_plan"),
    "seconds negative": (("provenance", "seconds"), lambda _: -1, InputError, "seconds"),
    "provenance a list": (("provenance",), list, InputError, "provenance"),
    "tables a list": (("tables",), list, InputError, "tables"),
    "table a text": (("tables", "shares"), lambda _: "x", InputError, "shares"),
    "no shares": (("tables",), lambda v: {"schedule": v["schedule"]}, AuditError, "share"),
    "columns a list": (COLUMNS, list, InputError, "columns"),
    "column a text": ((*COLUMNS, "share"), lambda _: "abc", InputError, "share"),
    "cell a list": ((*COLUMNS, "share", 0), lambda v: [v], InputError, "share"),
    "column short": ((*COLUMNS, "share"), without_first, InputError, "different lengths"),
    "share changed": ((*COLUMNS, "share", 0), lambda v: v / 2, AuditError, "work done"),
    "share text": ((*COLUMNS, "share", 0), str, AuditError, "share of a slot"),
    "share null": ((*COLUMNS, "share", 0), lambda _: None, AuditError, "share of a slot"),
    "time epoch": ((*COLUMNS, "time", 0), lambda _: 1654041600, InputError, "not a time"),
    "time naive": ((*COLUMNS, "time", 0), lambda v: v[:19], InputError, "no time zone"),
    "time year 9999": ((*COLUMNS, "time", 0), lambda v: "9999" + v[4:], InputError, "years"),
    "time elsewhere": ((*COLUMNS, "time", 0), lambda v: "2021" + v[4:], AuditError, "horizon"),
    "time column unknown": (("tables", "shares", "times"), lambda _: ["x"], InputError, "lacks"),
    "times a text": (("tables", "shares", "times"), lambda _: "time", InputError, "times"),
    "books": ((*BOOKS, "execution_g", 3), lambda v: v * 1.01 + 1, AuditError, "execution_g"),
    "server number huge": ((*COLUMNS, "servers", 0), lambda _: 10**15, AuditError, "servers"),
    "server number absurd": ((*COLUMNS, "servers", 0), lambda _: 10**30, InputError, "servers"),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_tampered_plans_are_refused(file, name):
    """A plan file is a claim: its form is checked, then its decisions are audited."""
    path, change, kind, words = TAMPERED[name]
    tamper(file, *path, change=change)
    with pytest.raises(kind, match=words):
        check(instance(), file)


def test_a_missing_key_of_any_kind_is_an_input_error(file):
    """Every required key, removed in turn."""
    content = json.loads(file.read_text())
    needed = ("optmodels_plan", "problem", "fingerprint", "maker", "status", "objective", "bound")
    for key in (*needed, "provenance", "tables"):
        file.write_text(json.dumps({k: v for k, v in content.items() if k != key}))
        with pytest.raises(InputError, match=key):
            check(instance(), file)


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"[]", b"3", b"\xff", b"[" * 100_000, b"9" * 10_000, b'{"objective": NaN}'],
)
def test_files_that_are_no_plan(tmp_path, raw):
    """Malformed, foreign, deep, or no JSON at all."""
    path = tmp_path / "plan.json"
    path.write_bytes(raw)
    with pytest.raises(InputError):
        read_plan(path)


def test_paths_that_are_no_file(tmp_path):
    """Absent, a folder, absurd."""
    for path in (tmp_path / "no.json", tmp_path, "nul\0", "x" * 5000):
        with pytest.raises(InputError):
            read_plan(path)
    with pytest.raises(UsageError):
        made().save(tmp_path)


def test_bytes_at_random_never_surprise(file):
    """Seeded mutations of the file: a clean plan, or an error of ours."""
    rng = np.random.default_rng(9)
    content = file.read_bytes()
    inst = instance()
    for _ in range(300):
        raw = bytearray(content)
        at, length = int(rng.integers(len(raw))), int(rng.integers(1, 9))
        raw[at : at + length] = rng.integers(0, 256, int(rng.integers(0, 9)), np.uint8).tobytes()
        file.write_bytes(bytes(raw))
        with contextlib.suppress(OptmodelsError):
            assert check(inst, file).audit.ok


def test_a_plan_with_a_violation_does_not_exist():
    """Making it raises, with the limits in words."""
    broken = Audit(
        made().cost, tuple(Violation("rate cap", f"slot {i}", 2, "1") for i in range(12))
    )
    with pytest.raises(AuditError, match="breaks 12 limits") as caught:
        made(audit=broken)
    assert "and 2 more" in str(caught.value)
    assert len(broken.frame) == 12


def test_cost_is_a_mapping_of_named_columns():
    """Parts add up to the total; quantities stand beside them."""
    cost = Cost({"a_g": 1.0, "b_g": 2.0}, {"energy_kwh": 5.0}, "g")
    assert dict(cost) == {"total": 3.0, "a_g": 1.0, "b_g": 2.0, "energy_kwh": 5.0}
    assert len(cost) == 4
    assert repr(cost) == "3 g (a_g 1, b_g 2, energy_kwh 5)"
    with pytest.raises(KeyError):
        cost["x"]


def test_gap():
    """Relative to the objective; none without a bound; never negative."""
    assert made().gap == pytest.approx(2 / 3)
    assert made(bound=None).gap is None
    assert made(bound=made().objective * (1 + 1e-12)).gap == 0


def test_reprs_show_the_answer_and_escape_html():
    """Objective, bound and gap in the terminal; markup in names stays text in a notebook."""
    bad = "<img src=x onerror=alert(1)>"
    plan = made(maker=bad, instance=bad, provenance=Provenance(bad, 0.1))
    text = repr(plan)
    assert f"objective  {plan.objective:,.9g} g" in text
    assert "gap 0.67" in text
    page = plan._repr_html_()
    assert "<img" not in page
    assert "&lt;img" in page
    assert repr(plan.audit).startswith("Audit(no limit broken")


def test_versions_are_copies():
    """What is installed is looked up once; nobody can change it for others."""
    first = installed_versions()
    assert {"python", "numpy", "optmodels"} <= set(first)
    first.clear()
    assert installed_versions()
