"""Reports in a real browser: what is seen, what sorts, what fits."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

selenium = pytest.importorskip("selenium", reason="the extra 'browser' is not installed")

import optmodels as om  # noqa: E402 - the core needs no browser
from optmodels.cli.touring import SHOWN, bundled  # noqa: E402
from tests.studies.policies import Failing  # noqa: E402

DRIVER = Path("/usr/bin/chromedriver")
OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
PHONE, DESK = 390, 1200


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Chromium without a window and with a profile of its own."""
    driver = DRIVER if DRIVER.is_file() else shutil.which("chromedriver")
    if not driver:
        pytest.skip("there is no chromedriver")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    for option in OPTIONS:
        options.add_argument(option)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    window = webdriver.Chrome(options=options, service=Service(str(driver)))
    yield window
    window.quit()


@pytest.fixture(scope="module")
def compared() -> om.Comparison:
    """Policies of a job, some of them skipped or without a proof."""
    return om.compare(om.load(bundled() / SHOWN["scaling.job"]))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, compared: om.Comparison) -> Path:
    """Their report."""
    return om.report(compared, tmp_path_factory.mktemp("page") / "report.html")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Report on a study with intervals and failures."""
    instances = [om.generate("scaling.job", seed=seed, hours=24, work=6) for seed in range(5)]
    policies = {"run-now": "run-now", "lacs": "lacs", "bug": Failing()}
    found = om.study(instances, policies, progress=False)
    return om.report(found, tmp_path_factory.mktemp("study") / "report.html")


def show(browser: Any, page: Path, width: int) -> None:
    """Open a page in a window of a width, with nothing left in the log."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get_log("browser")
    browser.get(page.as_uri())


def first_table(browser: Any, column: int) -> list[str]:
    """Cells of a column of the first table that sorts, from the top."""
    script = """
        const table = document.querySelector("table.sortable");
        return [...table.tBodies[0].rows].map((row) => row.cells[arguments[0]].textContent);
    """
    cells: list[str] = browser.execute_script(script, column)
    return cells


@pytest.mark.parametrize("width", [DESK, PHONE])
@pytest.mark.parametrize("which", ["page", "study"])
def test_pages_open_clean_at_every_width(
    browser: Any, request: pytest.FixtureRequest, which: str, width: int
) -> None:
    """Nothing is complained about, every picture is drawn, and the page is never too wide."""
    show(browser, request.getfixturevalue(which), width)
    assert browser.get_log("browser") == []
    assert "optmodels" in browser.find_element("tag name", "body").text
    sizes = browser.execute_script(
        "return [...document.images].map((i) => [i.complete, i.naturalWidth, i.naturalHeight])"
    )
    assert sizes
    assert all(complete and wide > 50 and high > 50 for complete, wide, high in sizes)
    wide, window = browser.execute_script(
        "return [document.documentElement.scrollWidth, window.innerWidth]"
    )
    assert window == width
    assert wide <= width
    # Wide tables scroll in boxes of their own, which the keyboard reaches.
    boxes = browser.execute_script(
        "return [...document.querySelectorAll('.scroll')]"
        ".filter((b) => b.scrollWidth > b.clientWidth).map((b) => [b.tabIndex, b.ariaLabel])"
    )
    assert boxes or width == DESK
    assert all(index == 0 and label for index, label in boxes)
    fetched = browser.execute_script(
        "return performance.getEntriesByType('resource').map((entry) => entry.name)"
    )
    assert all(name.startswith("data:") for name in fetched)


def test_what_is_on_the_page(browser: Any, page: Path, compared: om.Comparison) -> None:
    """Title, question, and one row for the optimum and for each policy."""
    show(browser, page, DESK)
    assert "unknown-length-96h" in browser.title
    heading = browser.find_element("tag name", "h1").text
    assert heading == "When should one elastic job run, and on how many servers?"
    assert sorted(first_table(browser, 0)) == sorted(compared.frame["policy"])
    rows = browser.find_elements("css selector", "tr.optimum")
    assert rows[0].text.startswith("optimum")


def test_heads_sort_by_click_and_by_key(browser: Any, page: Path, compared: om.Comparison) -> None:
    """Numbers sort as numbers both ways, names as words, and what is unknown stays last."""
    from selenium.webdriver.common.keys import Keys

    show(browser, page, DESK)
    heads = browser.find_elements("css selector", "table.sortable:first-of-type thead th")
    names = [head.text for head in heads]
    costs = names.index("cost [g]")
    cheapest = compared.frame.sort_values("total", kind="stable")["policy"].tolist()
    button = heads[costs].find_element("tag name", "button")
    assert heads[costs].get_attribute("aria-sort") == "none"
    button.click()
    assert heads[costs].get_attribute("aria-sort") == "ascending"
    assert first_table(browser, 0) == cheapest
    button.send_keys(Keys.ENTER)
    assert heads[costs].get_attribute("aria-sort") == "descending"
    totals = [float(cell.replace(",", "")) for cell in first_table(browser, costs)]
    assert totals == sorted(totals, reverse=True)
    # As text, 4,626.97 would stand before 16.67: switching tells numbers from words.
    switching = names.index("switching [g]")
    heads[switching].find_element("tag name", "button").send_keys(Keys.SPACE)
    values = [float(cell.replace(",", "")) for cell in first_table(browser, switching)]
    assert values == sorted(values)
    assert heads[costs].get_attribute("aria-sort") == "none"
    proven = names.index("proven ≤")
    known = int(compared.frame["certified_ratio"].notna().sum())
    for _ in range(2):
        heads[proven].find_element("tag name", "button").click()
        cells = first_table(browser, proven)
        assert all(cell != "-" for cell in cells[:known])
        assert all(cell == "-" for cell in cells[known:])
    heads[0].find_element("tag name", "button").click()
    assert first_table(browser, 0) == sorted(compared.frame["policy"])
    assert browser.get_log("browser") == []


def test_hostile_names_do_nothing(browser: Any, tmp_path: Path) -> None:
    """A name that is a script is read, not run, and pictures with it are drawn."""
    instance = om.load(bundled() / SHOWN["scaling.job"].replace("unknown-length-96h", "caiso-48h"))
    name = "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>"
    named = type(instance)(instance.parameters.model_dump(), instance.tables, name=name)
    show(browser, om.report(om.compare(named, ["run-now"]), tmp_path / "h.html"), DESK)
    assert browser.title != "run"
    assert name in browser.find_element("tag name", "header").text
    assert browser.get_log("browser") == []


def test_dark_and_paper(browser: Any, page: Path) -> None:
    """Dark where the reader wants it; on paper black on white, without scrolling boxes."""
    show(browser, page, DESK)
    colour = "return getComputedStyle(document.body).backgroundColor"
    ink = "return getComputedStyle(document.body).color"
    light = browser.execute_script(colour)
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    assert browser.execute_script(colour) != light
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {**dark, "media": "print"})
    assert browser.execute_script(colour) == "rgb(255, 255, 255)"
    assert browser.execute_script(ink) == "rgb(0, 0, 0)"
    overflow = "return getComputedStyle(document.querySelector('.scroll')).overflowX"
    assert browser.execute_script(overflow) == "visible"
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
