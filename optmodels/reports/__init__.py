"""Reports: what was found, as one web page that needs nothing else.

>>> import optmodels as om
>>> inst = om.generate("scaling.job", seed=1)
>>> om.report(om.compare(inst, ["run-now", "lacs"]), "report.html")  # doctest: +SKIP

A page states the question, the facts of the instance, the certificate (status, objective, bound,
gap), the cost split, the policies in a table that sorts by a click, pictures, and how it all was
made. It opens without a network; nothing in it depends on when it was made but the times that it
states.
"""

from __future__ import annotations

from pathlib import Path

from optmodels.atomic import write_text_atomically
from optmodels.comparison import Comparison
from optmodels.errors import UsageError
from optmodels.plan import Plan
from optmodels.studies import Study

ENDINGS = (".html", ".htm")


def report(thing: Plan | Comparison | Study, path: str | Path) -> Path:
    """Write a report on a plan, a comparison or a study to one HTML file, all or nothing.

    Parameters
    ----------
    thing
        What `optmodels.solve`, `compare` or `study` returned.
    path
        File to write, ending in .html; one that exists is replaced.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    UsageError
        There is no report on such a thing, the file has another ending, or cannot be written.
    """
    target = check_target(path)
    write_text_atomically(target, rendered(thing))
    return target


def rendered(thing: Plan | Comparison | Study) -> str:
    """The page as text; see `report`."""
    if isinstance(thing, Study):
        from optmodels.reports.studied import study_page

        return study_page(thing)
    from optmodels.reports.planned import comparison_page, plan_page

    if isinstance(thing, Comparison):
        return comparison_page(thing)
    if isinstance(thing, Plan):
        return plan_page(thing)
    raise UsageError(
        f"There is no report on a {type(thing).__name__}; allowed: a plan, a comparison or a "
        "study. Fix: give what optmodels.solve, compare or study returns."
    )


def check_target(path: str | Path) -> Path:
    """Path of a report.

    Raises
    ------
    UsageError
        It does not end in .html.
    """
    target = Path(path)
    if target.suffix.lower() not in ENDINGS:
        raise UsageError(
            f"A report is an HTML file, not {target.name!r}. Fix: let its name end in .html."
        )
    return target


__all__ = ["check_target", "rendered", "report"]
