"""Nothing that is read is ever executed, nothing leaves its folder, and releases can be accounted.

Doors and their limits are tested where they are (tests/test_folder.py, tests/test_text.py,
tests/fuzz); here stand the rules for the whole code and for the package.
"""

from __future__ import annotations

import ast
import csv
import io
import json
import re
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import optmodels
from optmodels import folder, json_file, plan_file, text
from optmodels.csv_text import csv_text
from optmodels.errors import AuditError, InputError
from optmodels.json_file import read_json

ROOT = Path(optmodels.__file__).parent
SOURCES = sorted(ROOT.rglob("*.py"))

#: Modules that turn bytes into objects with behaviour, or text into code or commands.
FORBIDDEN_MODULES = {
    *("pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "jsonpickle"),
    *("yaml", "ruamel", "code", "codeop", "runpy", "commands", "xml", "lxml"),
}
FORBIDDEN_NAMES = {"eval", "exec", "compile", "execfile", "__import__", "input", "breakpoint"}
#: As attributes: of os, pandas, numpy, torch and shells.
FORBIDDEN_CALLS = {
    *("system", "popen", "execv", "execve", "spawnl", "spawnv", "startfile", "eval"),
    *("read_pickle", "to_pickle", "read_hdf", "read_html", "fromstring", "urlopen", "urlretrieve"),
}


def calls(tree):
    """Every call of a module: its name, or the last part of an attribute."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node, getattr(node.func, "id", None), getattr(node.func, "attr", None)


def imported(tree):
    """First parts of the names of all modules that a module imports, wherever it does."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield (node.module or "").split(".")[0]


def faults(tree):
    """What in a module could run what it reads."""
    found = [f"import {name}" for name in imported(tree) if name in FORBIDDEN_MODULES]
    for node, name, attribute in calls(tree):
        if name in FORBIDDEN_NAMES:
            found.append(f"{name}(")
        # `re.compile` and `ast.literal_eval` are other things; so is model.eval() of torch.
        if attribute in FORBIDDEN_CALLS and not (attribute == "eval" and not node.args):
            found.append(f".{attribute}(")
        words = {keyword.arg: keyword.value for keyword in node.keywords}
        if attribute == "load" and getattr(words.get("weights_only"), "value", None) is False:
            found.append("weights_only=False")
        if getattr(words.get("allow_pickle"), "value", None) is True:
            found.append("allow_pickle=True")
        if getattr(words.get("shell"), "value", None) is True:
            found.append("shell=True")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_read_is_executed(path):
    """No pickle, eval, exec, yaml, shell or network call anywhere in the package."""
    assert not faults(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "code",
    [
        *("import pickle", "from yaml import load", "eval('1')", "exec(x)", "__import__('os')"),
        *("import os; os.system('x')", "pd.read_pickle(f)", "np.load(f, allow_pickle=True)"),
        *("frame.eval(text)", "torch.load(f, weights_only=False)", "run(c, shell=True)"),
    ],
)
def test_the_check_sees_each_of_them(code):
    """A rule that finds nothing in this proves nothing above."""
    assert faults(ast.parse(code))


def test_modules_found_by_name_come_from_fixed_lists():
    """`import_module` gets no text from outside: problems and rooms are constants of ours."""
    users = {
        str(path.relative_to(ROOT))
        for path in SOURCES
        if "import_module" in path.read_text(encoding="utf-8")
    }
    assert users <= {"__init__.py", "registry.py", "solver/__init__.py", "cli/making.py"}


def test_every_limit_on_what_is_read_has_a_name():
    """Bounds are constants with a meaning, finite, and together below a gigabyte of memory."""
    bytes_of = (text.MAX_BYTES, folder.MAX_DESCRIPTOR_BYTES, plan_file.MAX_PLAN_BYTES)
    assert all(0 < limit <= 2**28 for limit in bytes_of)
    assert text.MAX_CELLS * 100 <= 10**9
    assert text.MAX_LINE_BYTES <= 10**6
    assert text.MAX_ROWS <= text.MAX_CELLS
    assert text.MAX_BLANK_LINES <= 10**5


def test_json_with_a_million_names_of_which_the_last_is_double_takes_no_time(tmp_path):
    """Looking for the double name must not compare each with each."""
    path = tmp_path / "many.json"
    names = ",".join(f'"{i}":0' for i in range(300_000))
    path.write_text("{" + names + ',"299999":1}')
    with pytest.raises(InputError, match="'299999' is given twice"):
        read_json(path, max_bytes=2**24)


@pytest.mark.parametrize(
    "content", [b"[NaN]", b"[Infinity]", b'"\\ud800"', b"\xff", b"", b"[" * 9**6]
)
def test_json_that_is_none_is_refused_in_words(tmp_path, content):
    """Constants that are no JSON, half characters, other encodings, endless depth."""
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match="is not JSON"):
        read_json(path, max_bytes=2**20)
    with pytest.raises(InputError, match="too large"):
        read_json(path, max_bytes=-1)


def test_json_from_a_pipe_does_not_block(tmp_path):
    """A pipe, a device or a folder under the name of a file is refused before it is opened."""
    import os

    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", ".", "missing", "a\0b"):
        with pytest.raises(InputError):
            read_json(tmp_path / name, max_bytes=100)
    assert json_file.__doc__


# ------------------------------------------------------------------------------------- spreadsheets
DANGEROUS = ["=1+1", "+1", "-x", "@SUM(A1)", "\tx", "\rx", "=cmd|' /C calc'!A0"]


def test_tables_for_people_hold_no_formulas():
    """Texts that a spreadsheet would run are quoted, heads too; numbers stay numbers."""
    frame = pd.DataFrame(
        {
            "name": [*DANGEROUS, "a=b", ""],
            "number": np.arange(9) - 4.5,
            "=head": range(9),
            "mixed": [-1.5, "-1", None, "x", 2, True, "=x", np.nan, "'"],
        }
    )
    before = frame.copy()
    rows = list(csv.DictReader(io.StringIO(csv_text(frame), newline="")))
    quoted = [f"'{cell}".replace("\r", " ") for cell in DANGEROUS]
    assert [row["name"] for row in rows] == [*quoted, "a=b", ""]
    assert [float(row["number"]) for row in rows] == frame["number"].tolist()
    assert [row["mixed"] for row in rows[:3]] == ["-1.5", "'-1", ""]
    assert "'=head" in rows[0]
    pd.testing.assert_frame_equal(frame, before)


def test_tables_without_formulas_are_written_as_before():
    """Nothing else changes: digits, gaps, quoting."""
    frame = pd.DataFrame({"a": [0.1 + 0.2, np.nan], "b": ["x,y", 'q"'], "c": [True, False]})
    assert csv_text(frame) == frame.to_csv(index=False, lineterminator="\n")


def test_no_table_for_people_goes_another_way():
    """`to_csv` stands in two places: here, and where instances are written, which check names."""
    users = {
        str(path.relative_to(ROOT))
        for path in SOURCES
        if ".to_csv(" in path.read_text(encoding="utf-8")
    }
    assert users == {"csv_text.py", "folder.py"}


# ------------------------------------------------------------------------------------ the package
@pytest.fixture(scope="module")
def distribution():
    """Metadata of the installed package."""
    try:
        return metadata.distribution("optmodels")
    except metadata.PackageNotFoundError:
        pytest.skip("the package is not installed, only on the path")


def test_the_package_can_be_accounted_for(distribution):
    """Name, version, licence (PEP 639) and requirements, as a bill of materials needs them."""
    about = distribution.metadata
    assert about["Name"] == "optmodels"
    assert re.fullmatch(r"\d+\.\d+\.\d+", distribution.version)
    assert about["License-Expression"] == "MIT"
    assert about.get_all("License-File") == ["LICENSE"]
    assert any(str(file).endswith("licenses/LICENSE") for file in distribution.files or ())
    assert about["Requires-Python"] == ">=3.11"


def test_every_requirement_has_a_lower_bound_and_is_on_no_other_index(distribution):
    """No requirement by address, none without the version from which it is known to work."""
    for requirement in distribution.requires or ():
        assert "@" not in requirement
        plain = requirement.partition(";")[0].strip()
        assert re.search(r">=\d", plain) or plain.startswith("optmodels["), requirement


# -------------------------------------------------------------------------------------- plan files
def changed_plan(folder, problem, change):
    """An instance of a problem, and a file of its optimum with one change."""
    made = optmodels.generate(problem, seed=0, hours=4, jobs=1, past_hours=0, capacity=4)
    path = folder / "plan.json"
    optmodels.solve(made).save(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content["tables"])
    path.write_text(json.dumps(content), encoding="utf-8")
    return made, path


@pytest.mark.parametrize("slot", [10**18, 10**9, 3e17])
def test_a_plan_in_a_far_slot_takes_no_memory(tmp_path, slot):
    """An audit that holds a number for every slot up to this one would ask for exabytes."""

    def far(tables):
        tables["schedule"]["columns"]["slot"][0] = slot

    made, path = changed_plan(tmp_path, "scaling.cluster", far)
    with pytest.raises(AuditError, match=r"slot.*0 to 10,000,000"):
        optmodels.check(made, path)


@pytest.mark.parametrize("value", [1e308, -1e300, 2**63 - 1, 10**400])
def test_absurd_decisions_are_refused_before_an_audit_overflows(tmp_path, value):
    """Products of such numbers are infinite: a warning of numpy instead of a verdict."""

    def absurd(tables):
        tables["schedule"]["columns"]["share"][0] = value

    made, path = changed_plan(tmp_path, "scaling.cluster", absurd)
    with pytest.raises(InputError, match=r"share.*out of range"):
        optmodels.check(made, path)


def test_long_names_in_a_plan_do_not_fill_the_message(tmp_path):
    """A column of 20,000 letters with a wrong cell is told in a line."""

    def named(tables):
        tables["schedule"]["columns"]["x" * 20_000] = [[]]

    made, path = changed_plan(tmp_path, "scaling.cluster", named)
    with pytest.raises(InputError) as caught:
        optmodels.check(made, path)
    assert len(str(caught.value)) < 5000
