"""Studies read back from their stores: the same table, nothing computed, nothing changed."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import optmodels as om
from optmodels.errors import InputError
from optmodels.studies.store import Store, is_store
from optmodels.studies.stored import stored_study
from tests.studies.policies import Failing


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, om.Study]:
    """A store with two instances, a forecast policy, two seeds and a policy that fails."""
    folder = tmp_path_factory.mktemp("study") / "store"
    instances = [om.generate("scaling.job", seed=seed, hours=24, work=6) for seed in (1, 2)]
    policies = {"run-now": "run-now", "random-slots": "random-slots", "bug": Failing()}
    policies["carbonscaler"] = "carbonscaler"
    found = om.study(
        instances, policies, forecasts=["noise:0.2"], seeds=[0, 1], store=folder, progress=False
    )
    return folder, found


def test_the_table_is_the_same(filled: tuple[Path, om.Study]) -> None:
    """Every number, status and message comes back; only the order is the store's own."""
    folder, found = filled
    again = stored_study(folder)
    keys = ["fingerprint", "policy", "forecast", "seed"]
    columns = [name for name in found.frame.columns if name != "error"]

    def ordered(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.sort_values(keys)[[*columns, "error"]].reset_index(drop=True)

    # What a policy object of one's own was told is not in a store; this one was told nothing.
    pd.testing.assert_frame_equal(ordered(again.frame), ordered(found.frame))
    assert again.computed == 0
    assert len(again.failures) == 2
    assert again.frame["policy"].iloc[0] == "optimum"
    pd.testing.assert_frame_equal(
        again.summary().sort_values("policy", ignore_index=True),
        found.summary().sort_values("policy", ignore_index=True),
    )


def test_reading_changes_nothing(filled: tuple[Path, om.Study]) -> None:
    """The store is read while another study writes to it, and half a line is left as it is."""
    folder, _ = filled
    table = folder / "cells.csv"
    whole = table.read_bytes()
    with Store(folder):
        rows = len(stored_study(folder).frame)
    try:
        table.write_bytes(whole + b"half a li")
        assert len(stored_study(folder).frame) == rows
        assert table.read_bytes() == whole + b"half a li"
    finally:
        table.write_bytes(whole)


def test_the_last_result_of_a_cell_counts(filled: tuple[Path, om.Study], tmp_path: Path) -> None:
    """A cell computed again after a change of the code replaces what was there, not adds to it."""
    folder, found = filled
    lines = (folder / "cells.csv").read_text().splitlines(keepends=True)
    head, first = lines[0].rstrip("\n").split(","), lines[1].split(",")
    total = head.index("total")
    changed = ["f" * 64, *first[1:total], "123.5", *first[total + 1 :]]
    (tmp_path / "store.json").write_text((folder / "store.json").read_text())
    (tmp_path / "cells.csv").write_text("".join([*lines, ",".join(changed)]))
    again = stored_study(tmp_path).frame
    assert len(again) == len(found.frame)
    assert (again["total"] == 123.5).sum() == 1


def test_what_is_no_store_is_refused(filled: tuple[Path, om.Study], tmp_path: Path) -> None:
    """A missing folder, another one, an empty store and unknown names are told in words."""
    folder, _ = filled
    assert is_store(folder)
    assert not is_store(tmp_path)
    for path in (tmp_path / "no", tmp_path):
        with pytest.raises(InputError, match="cannot be read as a store"):
            stored_study(path)
    assert list(tmp_path.iterdir()) == []
    Store(tmp_path).close()
    with pytest.raises(InputError, match=r"holds no results yet.*optmodels compare"):
        stored_study(tmp_path)
    text = (folder / "cells.csv").read_text()
    (tmp_path / "cells.csv").write_text(text.replace("scaling.job", "scaling.jbo"))
    with pytest.raises(InputError, match=r"Did you mean 'scaling\.job'"):
        stored_study(tmp_path)
