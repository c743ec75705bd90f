"""The instance: frozen, complete, equal by content, whatever the layout of its files."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import optmodels as om
from optmodels.errors import InputError
from optmodels.scaling.job.instance import JobInstance

PARAMETERS = {"work": 2.0, "switching_g": 0.0, "deadline_slots": 6, "slot_minutes": 60}


def tables(start="2022-06-01", rows=6, zone="UTC"):
    """Carbon and profile; the carbon intensity holds a zero."""
    times = pd.date_range(start, periods=rows, freq="h", tz=zone)
    carbon = pd.DataFrame({"time": times, "carbon_g_per_kwh": np.arange(rows) * 1.1})
    profile = pd.DataFrame({"servers": [1.0, 2], "throughput": [1.0, 1.5], "power_kw": [1.0, 2]})
    return {"carbon": carbon, "profile": profile}


def made(parameters=None, given_=None, **words):
    """Instance of the tables above."""
    return JobInstance(
        PARAMETERS | (parameters or {}), tables() if given_ is None else given_, **words
    )


@settings(deadline=None, derandomize=True, max_examples=25)
@given(st.permutations(range(6)), st.permutations(range(2)), st.booleans(), st.booleans())
def test_the_fingerprint_forgets_the_layout(tmp_path_factory, rows, columns, parquet, defaults):
    """Order of rows and columns, CSV or Parquet, defaults given or not, -0.0: one fingerprint.

    It rests on content alone; names and origin are not part of it.
    """
    given_ = tables()
    carbon = given_["carbon"]
    carbon = carbon[[carbon.columns[i] for i in columns]].iloc[rows]
    carbon["carbon_g_per_kwh"] *= np.where(carbon["carbon_g_per_kwh"] == 0, -1, 1)
    extra = {"quantity": "unspecified", "rate_cap": None} if defaults else {}
    extra |= {"switching_g": -0.0, "work": 2, "slot_minutes": 60.0}
    other = made(extra, given_ | {"carbon": carbon}, name="other", origin="elsewhere")
    assert other == made()
    assert hash(other) == hash(made())
    path = tmp_path_factory.mktemp("case") / "x"
    other.save(path, table_format="parquet" if parquet else "csv")
    assert om.load(path).fingerprint == made().fingerprint


def test_a_folder_edited_in_another_layout_keeps_its_fingerprint(tmp_path):
    """Rows and columns turned around in the file itself, CRLF, a byte-order mark, other offsets."""
    path = made().save(tmp_path / "case")
    frame = made().tables["carbon"].iloc[::-1, ::-1]
    frame["time"] = [t.tz_convert("Asia/Kolkata").isoformat() for t in frame["time"]]
    text = frame.to_csv(index=False, lineterminator="\r\n")
    (path / "carbon.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    content = json.loads((path / "datapackage.json").read_text())
    content["optmodels"]["parameters"] = dict(PARAMETERS)
    content["resources"].reverse()
    (path / "datapackage.json").write_text(json.dumps(content))
    assert om.load(path) == made()


@pytest.mark.parametrize(
    "change",
    [
        {"work": np.nextafter(2.0, 3)},
        {"switching_g": 5e-324},
        {"quantity": "direct"},
        {"rate_cap": 2.0},
        {"carbon": lambda t: t.assign(carbon_g_per_kwh=np.nextafter(t["carbon_g_per_kwh"], 9e9))},
        {"carbon": lambda t: t.assign(time=t["time"] + pd.Timedelta(1, "ns"))},
        {"profile": lambda t: t.assign(throughput=[1.0, 1.6])},
        {"profile": None},
    ],
)
def test_the_fingerprint_sees_every_digit(change):
    """The last bit of any value changes it."""
    base = made()
    changes = {k: v(base.tables[k]) if callable(v) else v for k, v in change.items()}
    assert base.replace(**changes) != base


@pytest.mark.parametrize(("day", "hours"), [("2022-03-27", 23), ("2022-10-30", 25)])
def test_local_days_of_23_and_25_hours_equal_their_utc_form(tmp_path, day, hours):
    """An instance in local time across a change of the clocks is the one given in UTC.

    A reader that drops the offset would see a doubled hour in autumn and a gap in spring.
    """
    local = tables(day, rows=hours, zone="Europe/Berlin")
    assert local["carbon"]["time"].iloc[-1].hour == 23
    utc = local | {"carbon": local["carbon"].assign(time=lambda t: t["time"].dt.tz_convert("UTC"))}
    size = {"deadline_slots": hours}
    assert made(size, local) == made(size, utc)
    path = made(size, utc).save(tmp_path / "case")
    local["carbon"].assign(time=[t.isoformat() for t in local["carbon"]["time"]]).to_csv(
        path / "carbon.csv", index=False
    )
    assert "+01:00" in (path / "carbon.csv").read_text()
    assert om.load(path) == made(size, local)


def test_naive_local_time_is_refused():
    """Without the zone nobody can know which hour is meant."""
    naive = tables()
    naive["carbon"]["time"] = naive["carbon"]["time"].dt.tz_localize(None)
    with pytest.raises(InputError, match="no time zone"):
        made(None, naive)


def test_an_instance_cannot_be_changed():
    """No attribute, parameter, table or array of it; nor are the caller's frames touched."""
    given_ = tables()
    before = {name: frame.copy() for name, frame in given_.items()}
    inst = made(None, given_)
    for frame in (given_["carbon"], inst.tables["carbon"]):
        frame.loc[0, "carbon_g_per_kwh"] = 9.0
    with pytest.raises(AttributeError, match="frozen"):
        inst.name = "x"
    with pytest.raises(AttributeError, match="frozen"):
        del inst._tables
    with pytest.raises(ValueError, match="frozen"):
        inst.parameters.work = 1.0
    for array in (inst.carbon, inst.history, *inst.measured, inst.profile.servers):
        with pytest.raises(ValueError, match="read-only"):
            array[:1] = 0
        if array.size:
            with pytest.raises(ValueError, match="WRITEABLE"):
                array.flags.writeable = True
    assert inst == made(None, before)
    inst.carbon.sum()
    pd.testing.assert_frame_equal(inst.tables["profile"], before["profile"])


def test_frames_are_not_changed_by_construction():
    """Neither their rows nor their order."""
    given_ = {name: frame.iloc[::-1] for name, frame in tables().items()}
    before = {name: frame.copy() for name, frame in given_.items()}
    made(None, given_)
    for name, frame in given_.items():
        pd.testing.assert_frame_equal(frame, before[name])


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda i: pickle.loads(pickle.dumps(i))])
def test_copies_for_workers_are_equal_and_frozen(clone):
    """An instance travels to other processes; derived arrays are read-only there as well."""
    inst = made(name="a name", origin="o")
    assert inst.carbon.size == 6
    twin = clone(inst)
    assert (twin, twin.name, twin.origin) == (inst, "a name", "o")
    with pytest.raises(ValueError, match="WRITEABLE"):
        twin.carbon.flags.writeable = True


def test_replace():
    """Parameters and tables by name, None leaves one out, unknown names are refused."""
    base = made()
    assert base.replace() == base
    assert base.replace(work=3).parameters.work == 3
    assert "profile" not in base.replace(profile=None).tables
    assert base.replace(rate_cap=1.0).replace(rate_cap=None) == base
    for wrong in ({"wrk": 1}, {"profil": tables()["profile"]}, {"carbon": None}, {"carbon": 3}):
        with pytest.raises(InputError):
            base.replace(**wrong)


@pytest.mark.parametrize(
    ("parameters", "given_", "words"),
    [
        (None, tables(), "mapping"),
        (PARAMETERS, None, "mapping"),
        (PARAMETERS, {}, "'carbon'"),
        (PARAMETERS, tables() | {"x": tables()["carbon"]}, "not a table of this problem"),
        (PARAMETERS, tables() | {"carbon": [1, 2]}, "is a list, not a frame"),
        (PARAMETERS, {"carbon": tables()["carbon"].iloc[:, [0, 1, 1]]}, "more than once"),
        (PARAMETERS, {"carbon": tables()["carbon"].astype(str)}, "not a number"),
        (PARAMETERS, {"carbon": tables()["carbon"].assign(carbon_g_per_kwh=True)}, "not a number"),
        (PARAMETERS, {"carbon": tables()["carbon"].assign(time=range(6))}, "not a time"),
        (PARAMETERS, {"carbon": tables()["carbon"].iloc[:0]}, "no rows"),
    ],
)
def test_wrong_arguments_are_explained(parameters, given_, words):
    """Everything that is not a mapping of frames, or not a frame of numbers and times."""
    with pytest.raises(InputError, match=words):
        JobInstance(parameters, given_)


@pytest.mark.parametrize("words", [{"name": "a\0"}, {"name": "\ud800"}, {"origin": 3}])
def test_names_must_be_writable(words):
    """What could not be saved is refused at once."""
    with pytest.raises(InputError, match="usable text"):
        made(**words)


def test_columns_of_every_numeric_type():
    """float32, integers and pandas' nullable numbers are the numbers they hold."""
    given_ = tables()
    whole = given_["carbon"].assign(carbon_g_per_kwh=[0, 1, 2, 3, 4, 5])
    expected = made(None, given_ | {"carbon": whole})
    for dtype in ("int64", "uint8", "float32", "Int64", "Float64", "object"):
        typed = whole.assign(carbon_g_per_kwh=whole["carbon_g_per_kwh"].astype(dtype))
        assert made(None, given_ | {"carbon": typed}) == expected
    typed.loc[2, "carbon_g_per_kwh"] = pd.NA
    with pytest.raises(InputError, match=r"row 4.*is missing"):
        made(None, given_ | {"carbon": typed})


def test_reprs_show_the_question_and_escape_html():
    """Parameters with units in the terminal; markup in a name stays text in the notebook."""
    inst = made({"zone": "<b>zone</b>"}, name="<script>alert(1)</script>")
    text = repr(inst)
    assert "work                         2.0 work" in text
    assert "table carbon" in text
    page = inst._repr_html_()
    assert "<script>" not in page
    assert "<b>zone" not in page
    assert "&lt;script&gt;" in page
