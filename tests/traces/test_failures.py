"""The reader of failures: pairs of events, every flaw by its number, the public trace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from optmodels.errors import InputError
from optmodels.traces.failures import read_failures

FAULT = {"Level": "Hardware Failure", "Class": "GPU", "Desc": "ECC"}


def event(node: str, time: float, kind: str = "fault_start", **changes: Any) -> dict[str, Any]:
    """One event."""
    return {
        "node_id": node,
        "event_time": time,
        "event_type": kind,
        "fault_type": FAULT,
        **changes,
    }


def written(path: Path, content: object) -> Path:
    """A file of this content."""
    target = path / "faults.json"
    target.write_text(json.dumps(content), encoding="utf-8")
    return target


def test_starts_and_ends_are_paired(tmp_path: Path) -> None:
    """By server and fault, the first start with the first end; what is open has no end."""
    other = {**FAULT, "Class": "NIC"}
    events = [
        event("a", 1.0),
        event("a", 1.5, fault_type=other),
        event("b", 2.0),
        event("a", 2.5, "fault_end"),
        event("a", 3.0, "fault_end", fault_type=other),
        event("a", 4.0),
    ]
    frame = read_failures(written(tmp_path, events))
    assert frame["server"].tolist() == ["a", "a", "b", "a"]
    np.testing.assert_array_equal(frame["end_days"], [2.5, 3.0, np.nan, np.nan])
    assert frame["fault"].tolist() == ["GPU", "NIC", "GPU", "GPU"]


def test_every_flaw_is_told_with_its_event(tmp_path: Path) -> None:
    """Bad names, times, kinds, faults, an end without a start: all in one message."""
    events = [
        event("a", 5.0),
        event("", 6.0),
        event("b", 4.0),
        event("c", "soon"),  # type: ignore[arg-type]
        event("d", 7.0, "fault_pause"),
        event("e", 7.0, fault_type="GPU"),
        event("f", 8.0, "fault_end"),
        "nothing",
    ]
    with pytest.raises(InputError) as caught:
        read_failures(written(tmp_path, events))
    text = str(caught.value)
    for number in range(2, 9):
        assert f"event {number}" in text
    assert len(caught.value.flaws) == 7


@pytest.mark.parametrize("content", ["{", "{}", "[]"])
def test_files_of_another_kind(tmp_path: Path, content: str) -> None:
    """No JSON, no list, nothing in it; and no file at all."""
    target = tmp_path / "x.json"
    target.write_text(content, encoding="utf-8")
    with pytest.raises(InputError):
        read_failures(target)
    with pytest.raises(InputError, match="cannot be read"):
        read_failures(tmp_path / "absent.json")


def test_public_trace(shared_data: Path) -> None:
    """584 faults of 231 servers in 349 days, all repaired."""
    frame = read_failures(shared_data / "spot_failures/infinitehbd/fault_trace.json")
    assert len(frame) == 584
    assert frame["server"].nunique() == 231
    assert frame["end_days"].max() < 349
    assert (frame["end_days"] >= frame["start_days"]).all()
