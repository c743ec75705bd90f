"""Pages made from the code: what a comment ``<!-- made: NAME -->`` stands for is written here.

A page keeps its words in its file; tables that would go stale are made anew in each build, and no
made file is kept. Pages of measurements and of the interface have no file of their own at all.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import algorithms
import constants
import formats
import interface
import measured

ROOT = Path(__file__).resolve().parents[2]
MADE = {
    "algorithms": algorithms.text,
    "constants": constants.text,
    "formats": formats.text,
    "readers": formats.readers,
    "charts": formats.charts,
    "measured": measured.overview,
}
_MARK = re.compile(r"<!-- made: ([a-z-]+) -->")


def made_pages() -> dict[str, str]:
    """Content of the pages that have no file, by their path in the site."""
    return {**measured.pages(), **interface.pages()}


def on_config(config: Any) -> Any:
    """Put the made pages into the navigation, each after the page that leads to them."""
    for section in config["nav"]:
        for title, entries in section.items() if isinstance(section, dict) else ():
            if title == "Performance":
                entries += [{_title(text): path} for path, text in measured.pages().items()]
            if title == "Reference":
                entries += [{_title(text): path} for path, text in interface.pages().items()]
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the made pages, and the document about security, which stands at the root."""
    from mkdocs.structure.files import File

    security = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    for path, text in {**made_pages(), "security.md": security}.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: object) -> str:
    """Write what is made, and turn links out of `docs` into links within the site."""
    depth = page.file.src_uri.count("/") * "../"
    markdown = re.sub(
        r"\]\(\.\./benchmarks/results/([a-z_]+)\.md", rf"]({depth}performance/\1.md", markdown
    )
    markdown = markdown.replace("](../benchmarks/README.md", f"]({depth}performance.md")
    markdown = markdown.replace("](../SECURITY.md", f"]({depth}security.md")
    return _MARK.sub(lambda match: MADE[match[1]](), markdown)


def _title(text: str) -> str:
    return text.splitlines()[0].removeprefix("# ").replace("`", "")
