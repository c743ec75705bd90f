"""The notebooks run, and what they show is what their code gives.

A notebook is a source: it is edited in Jupyter, run from top to bottom and saved with its outputs.
`python tests/extras/test_notebooks.py` runs all of them again in place, as they have to be kept:
without traces of the machine, the time or the reader.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="the extra 'notebooks' is not installed")
nbclient = pytest.importorskip("nbclient", reason="the extra 'notebooks' is not installed")
pytest.importorskip("ipykernel", reason="the extra 'notebooks' is not installed")

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
LARGEST_KB, ALL_KB, CELL_S = 150, 700, 120
#: Where a notebook says whose numbers it shows: which of equal plans it is differs by version.
SOLVER = "solved_with_highspy"

#: Drawn outputs differ by the version of matplotlib; the text beside them is the figure's type.
NUMBER = re.compile(r"[-+]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?")
TIMES = re.compile(r"\b\d+(?:\.\d+)? ?(?:ms|s|seconds)\b")
ABSOLUTE = re.compile(r"(?<![\w.:/])/(?:[\w.-]+/)+[\w.-]+|[A-Za-z]:\\\\|site-packages")


def run(path: Path):
    """The notebook, run from top to bottom in a kernel of its own, in its folder."""
    book = nbformat.read(path, as_version=4)
    for cell in book.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nbclient.NotebookClient(
        book,
        kernel_name="python3",
        timeout=CELL_S,
        resources={"metadata": {"path": str(FOLDER)}},
        record_timing=False,
    ).execute()
    return book


def outputs_of(cell) -> list[tuple[str, str]]:
    """Outputs of a cell as (kind, text); pieces of one stream are one output."""
    found: list[tuple[str, str]] = []
    for one in cell.outputs:
        kind = one.output_type
        if kind == "stream":
            kind = one.name
            if found and found[-1][0] == kind:
                found[-1] = (kind, found[-1][1] + one.text)
                continue
            found.append((kind, one.text))
        else:
            picture = "image/png" in one.data
            found.append(("picture" if picture else "text", one.data.get("text/plain", "")))
    return found


def same(shown: str, given: str, *, numbers: bool = True) -> bool:
    """Whether two texts say the same: equal words, and numbers up to their last digit."""
    shown, given = (TIMES.sub("TIME", " ".join(text.split())) for text in (shown, given))
    if NUMBER.sub("#", shown) != NUMBER.sub("#", given):
        return False
    if not numbers:
        return True
    for one, other in zip(NUMBER.findall(shown), NUMBER.findall(given), strict=True):
        plain = [text.replace(",", "").rstrip(".") for text in (one, other)]
        mantissa, _, power = plain[0].partition("e")
        digits = len(mantissa.partition(".")[2])
        # One more or less in the last digit is how different machines round.
        slack = 1.5 * 10.0 ** (int(power or 0) - digits) if digits or power else 0.0
        if abs(float(plain[0]) - float(plain[1])) > slack:
            return False
    return True


def test_there_are_notebooks() -> None:
    """One for each kind of reader, one for each family of problems; small enough to be kept."""
    names = {path.stem for path in NOTEBOOKS}
    families = {"scaling", "rightsizing", "routing", "placement", "ensembles"}
    assert names == {"analyst", "researcher", "engineer", *families}
    sizes = {path.stem: path.stat().st_size / 1024 for path in NOTEBOOKS}
    assert max(sizes.values()) < LARGEST_KB, sizes
    assert sum(sizes.values()) < ALL_KB, sizes


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_kept_clean(path: Path) -> None:
    """Run in order, nothing on stderr, no path of a machine, no time of a run.

    The first cell says what one will know, the last what to read next; links lead somewhere.
    """
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    assert {k: v for k, v in book.metadata.items() if k != SOLVER} == METADATA
    assert re.fullmatch(r"\d+\.\d+\.\d+", book.metadata[SOLVER])
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert all(not cell.metadata for cell in book.cells)
    assert "What you will know afterwards" in book.cells[0].source
    assert "What to read next" in book.cells[-1].source
    for cell in code:
        for one in cell.outputs:
            assert one.output_type != "error"
            assert one.get("name") != "stderr", one.text
            assert not ABSOLUTE.search(
                str({k: v for k, v in one.get("data", {}).items() if k != "image/png"})
                + one.get("text", "")
            )
        assert not ABSOLUTE.search(cell.source)
    for cell in book.cells:
        if cell.cell_type == "markdown":
            for link in re.findall(r"\]\(([^)]+)\)", cell.source):
                assert (FOLDER / link).exists(), link


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_shows_what_it_gives(path: Path) -> None:
    """Run again, every cell gives the text that is kept, and a picture where one is kept.

    With another version of the solver only words are compared: it may choose another of several
    plans of the same cost, and a policy that plans with it then does otherwise.
    """
    kept = nbformat.read(path, as_version=4)
    numbers = kept.metadata[SOLVER] == version("highspy")
    for before, after in zip(kept.cells, run(path).cells, strict=True):
        if before.cell_type != "code":
            continue
        shown, given = outputs_of(before), outputs_of(after)
        assert [kind for kind, _ in shown] == [kind for kind, _ in given], before.source
        for (_, one), (_, other) in zip(shown, given, strict=True):
            assert same(one, other, numbers=numbers), (
                f"{before.source}\n\nkept:\n{one}\n\nnow:\n{other}"
            )


def test_differences_are_seen() -> None:
    """The comparison lets pass how machines round and how long they take, and nothing else."""
    assert same("ratio 1.234 in 3.2 s", "ratio 1.235 in 4.9 s")
    assert same("a  1,024.5", "a 1,024.5")
    assert same("ratio 1.2", "ratio 1.5", numbers=False)
    assert not same("ratio 1.2", "cost 1.2", numbers=False)
    assert not same("ratio 1.234", "ratio 1.236")
    assert not same("8 GPUs", "9 GPUs")
    assert not same("optimal 3", "feasible 3")
    assert ABSOLUTE.search("File /home/me/x.py")
    assert not ABSOLUTE.search("../instances/scaling/job and 3 USD/kWh")


def refresh(path: Path) -> None:
    """Run a notebook in place and keep it clean."""
    book = run(path)
    book.metadata = {**METADATA, SOLVER: version("highspy")}
    for cell in book.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            merged: list = []
            for one in cell.outputs:
                last = merged[-1] if merged else None
                if last is not None and one.get("name") and last.get("name") == one.name:
                    last.text += one.text
                else:
                    merged.append(one)
            cell.outputs = merged
    nbformat.write(book, path)


if __name__ == "__main__":
    chosen = [FOLDER / f"{name}.ipynb" for name in sys.argv[1:]] or NOTEBOOKS
    for notebook in chosen:
        refresh(notebook)
