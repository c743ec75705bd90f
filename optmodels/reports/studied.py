"""Reports on studies: how policies do over many instances, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from optmodels import registry
from optmodels.comparison import OPTIMUM
from optmodels.plan import installed_versions
from optmodels.reports.markup import Html, joined, tag
from optmodels.reports.page import page
from optmodels.reports.parts import (
    Column,
    cards,
    paragraph,
    picture,
    section,
    table,
)
from optmodels.studies import Study
from optmodels.studies.confidence import FEWEST, LEVEL
from optmodels.studies.work import DONE, FAILED, SKIPPED

#: Rows of one table; a browser gets slow with many more.
_MOST_ROWS = 2000
_HIDDEN = ("problem", "fingerprint", "error", "unit")


def study_page(study: Study) -> str:
    """Page about a study."""
    status = study.frame["status"].value_counts()
    counts = {kind: int(status.get(kind, 0)) for kind in (DONE, FAILED, SKIPPED)}
    instances = study.frame["fingerprint"].nunique()
    figures = {
        "instances": (f"{instances:,}", ""),
        "policies": (f"{study.frame['policy'].nunique():,}", "with the optimum"),
        **{kind: (f"{count:,}", "cells") for kind, count in counts.items()},
        "computing time": (tag("time", f"{study.seconds.sum():,.3g}"), "s, all cells together"),
    }
    return page(
        f"Study of {instances} instance{'' if instances == 1 else 's'}",
        section("In short", cards(figures), _unproven(study)),
        *(_problem(study, problem) for problem in study.problems),
        _failures(study),
        section("Provenance", _provenance(study)),
        subtitle=", ".join(study.problems),
        kicker="optmodels report · study",
    )


def _unproven(study: Study) -> Html:
    words = (
        f"Intervals hold the mean with {LEVEL:.0%} confidence; what is resampled are instances, of "
        f"which there must be at least {FEWEST}. A ratio is the cost over the optimum, or over its "
        "proven bound where the optimum is not proven."
    )
    return paragraph(words, kind="note")


def _problem(study: Study, problem: str) -> Html:
    title = registry.problem(problem).title
    return section(f"{problem}: {title}", *_judged(study, problem), *_rows(study, problem))


def _judged(study: Study, problem: str) -> Iterator[Html]:
    """Summary with intervals, the paired comparison with the baseline, and the picture."""
    frame = study.of(problem)
    if "ratio" not in frame or frame["ratio"].isna().all():
        yield paragraph("No cell of this problem is done, so there is nothing to sum up.")
        return
    found = study.summary(problem).sort_values("mean", kind="stable")
    yield _frame(found, "Ratio to the optimum: mean, interval, 95th percentile and worst")
    baseline = registry.problem(problem).baseline
    if frame["fingerprint"].nunique() < FEWEST:
        words = f"With fewer than {FEWEST} instances there are no intervals, and nobody is better."
        yield paragraph(words, kind="note")
    elif baseline in set(found["policy"]):
        paired = study.against(baseline, problem)
        if len(paired):
            text = f"Difference of the ratio to that of '{baseline}' on the same instances"
            yield _frame(paired.sort_values("difference", kind="stable"), text)
    yield picture(study.plot(problem), f"{problem}: the policies of the study.")


def _rows(study: Study, problem: str) -> Iterator[Html]:
    frame = study.of(problem)
    frame = frame.drop(columns=[name for name in _HIDDEN if name in frame])
    shown = frame.head(_MOST_ROWS)
    caption = f"All {len(frame):,} cells"
    if len(frame) > len(shown):
        caption = f"The first {len(shown):,} of {len(frame):,} cells; the table has them all"
    content = _frame(shown, caption)
    yield tag("details", tag("summary", "Cells, one a row"), content, open=len(frame) <= 200)


def _failures(study: Study) -> Html:
    failed = study.failures
    if failed.empty:
        return joined()
    columns = ("instance", "policy", "forecast", "seed", "error")
    found = failed[list(columns)].head(_MOST_ROWS)
    words = f"{len(failed):,} of {len(study.frame):,} cells failed; the means leave them out."
    return section("Failures", paragraph(words, kind="warning"), _frame(found, "Cells that failed"))


def _frame(frame: pd.DataFrame, caption: str) -> Html:
    names = [str(name) for name in frame.columns if frame[name].notna().any()]
    records = frame.astype(object).where(frame.notna(), None).to_dict("records")
    columns = [Column.named(name, [row[name] for row in records]) for name in names]
    rows = [[row[name] for name in names] for row in records]
    marked = frozenset(i for i, row in enumerate(records) if row.get("policy") == OPTIMUM)
    return table(
        columns,
        rows,
        caption=caption,
        names=names,
        sortable=True,
        kind="policies",
        marked=marked,
    )


def _provenance(study: Study) -> Html:
    versions = ", ".join(f"{name} {version}" for name, version in installed_versions().items())
    instances = study.frame.drop_duplicates("fingerprint")
    rows = [
        [row.instance, tag("code", str(row.fingerprint)), row.problem]
        for row in instances.head(_MOST_ROWS).itertuples()
    ]
    heads = [Column("instance"), Column("fingerprint"), Column("problem")]
    return joined(
        paragraph(f"The report was made with {versions}."),
        table(heads, rows, caption="Instances"),
    )
