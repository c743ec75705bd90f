"""The page on other tools shows what happens."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.filterwarnings("ignore:pandas infers:FutureWarning")
def test_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every Python block of the page gives the output it shows, in one session."""
    for name in ("pypsa", "gymnasium", "xarray"):
        pytest.importorskip(name, reason="the extra 'interop' is not installed")
    monkeypatch.chdir(ROOT)
    text = (ROOT / "docs" / "interoperation.md").read_text(encoding="utf-8")
    found = re.findall(r"```py\n(.*?)```", text, flags=re.DOTALL)
    assert len(found) == 4
    example = doctest.DocTestParser().get_doctest("\n".join(found), {}, "page", "page", 0)
    assert doctest.DocTestRunner().run(example).failed == 0
