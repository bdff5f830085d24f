"""The report of one run, and of several runs laid over each other: from what was read to a page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from zoo.config import flatten
from zoo.report import sections
from zoo.report.attention import Heads
from zoo.report.chart import Chart
from zoo.report.curves import (
    LOSS_UNIT,
    QUANTITIES,
    by_position_chart,
    loss_charts,
    other_charts,
    panel,
    quantity_charts,
    series_of,
)
from zoo.report.folder import Run
from zoo.report.markup import Child, element, page
from zoo.report.sections import note, section
from zoo.report.tables import Cell, loss, table, written

SECTIONS = {
    "curves": "Curves",
    "model": "Model",
    "cost": "Parameters and FLOPs",
    "data": "Data",
    "samples": "Samples",
    "attention": "Attention",
    "config": "Config",
    "environment": "Environment",
}
"""What the page of one run has, in order: its place → what the list at the top calls it."""


class Pictures(NamedTuple):
    """The attention that a report shows, or why it shows none."""

    heads: Sequence[Heads]
    reason: str = ""


def run_page(run: Run, attention: Pictures) -> str:
    """The report of one run.

    Args:
        run: what lies in its folder.
        attention: what its newest checkpoint looks at.
    """
    model, reason = sections.find_model(run)
    family = run.config.get("model", {}).get("kind") if isinstance(run.config.get("model"), dict) else None
    words = [str(family).replace("_", "-")] if family else []
    words += [f"{model.num_parameters:,} parameters"] if model is not None else []
    words += [run.amount] if run.amount else []
    head = element(
        "header",
        element("h1", run.name),
        element("p", " \N{MIDDLE DOT} ".join(words), class_="about"),
        element("p", run.state, class_="state done" if run.is_finished else "state"),
    )
    body = [
        head,
        _contents(SECTIONS),
        *(element("p", remark, class_="remark") for remark in run.remarks),
        sections.summary(run),
        _curves_section(run),
        sections.model_section(model, reason),
        sections.cost_section(model, run),
        sections.data_section(run),
        sections.samples_section(run),
        sections.attention_section(attention.heads, attention.reason),
        sections.config_section(run),
        sections.environment_section(run),
        _foot(f"zoo report {run.folder}"),
    ]
    return page(run.name, [element("main", *body)])


def _contents(names: dict[str, str]) -> Child:
    return element("nav", *(element("a", title, href=f"#{key}") for key, title in names.items()))


def _foot(command: str) -> Child:
    return element("footer", "made by ", element("code", command))


def _curves_section(run: Run) -> Child:
    """Losses large, the rest small, and what else was logged behind a fold."""
    others, left_out = other_charts(run)
    losses, more = loss_charts(run), [by_position_chart(run)]
    figures: list[Child] = [
        chart.draw(wide=number == 0) for number, chart in enumerate([*losses, *quantity_charts(run)])
    ]
    figures += [chart.draw() for chart in [*(one for one in more if one is not None), *others]]
    too_many = note(f"Also in metrics.csv: {', '.join(left_out)}") if left_out else None
    return section("curves", "Curves", panel(figures), too_many)


# ------------------------------------------------------------------------------------------------------- several runs


SIDES = {"train": "Training", "validation": "Validation", "validation_ema": "Averaged weights: validation"}
"""How the first part of a column is called in a title."""
BITS = "/bits_per_byte"
"""What ends the columns that compare over tokenizers."""
COMPARED = {"curves": "Curves", "results": "Results", "differences": "Differences"}
"""What the page of several runs has."""


def comparison_page(runs: Sequence[Run], place: Path) -> str:
    """Several runs laid over each other.

    Args:
        runs: two or more.
        place: folder of the page, from which it leads to the report of each run.
    """
    names = labels(runs)
    warning = _different_tokens(runs)
    body = [
        element(
            "header",
            element("h1", f"{len(runs)} runs"),
            element("p", " \N{MIDDLE DOT} ".join(names), class_="about"),
        ),
        _contents(COMPARED),
        *(
            element("p", f"{name}: {remark}", class_="remark")
            for name, run in zip(names, runs, strict=True)
            for remark in run.remarks
        ),
        element("p", warning, class_="remark") if warning else None,
        section("curves", "Curves", panel(_overlaid(runs, names))),
        section("results", "Results", _results(runs, names, place)),
        section("differences", "Differences", *_differences(runs, names)),
        _foot("zoo report " + " ".join(str(run.folder) for run in runs)),
    ]
    return page(", ".join(names), [element("main", *body)])


def labels(runs: Sequence[Run]) -> list[str]:
    """A name for each run: that of its folder, or as many folders above it as tell them apart."""
    paths = [run.folder.resolve().parts for run in runs]
    depth = 1
    while depth < max(map(len, paths)) and len({path[-depth:] for path in paths}) < len(paths):
        depth += 1
    return ["/".join(path[-depth:]) for path in paths]


def _different_tokens(runs: Sequence[Run]) -> str:
    """Why losses do not compare, where they do not."""
    if len({str(run.config.get("tokenizer")) for run in runs}) > 1:
        return (
            "The runs have different tokenizers, so losses a token do not compare; bits per byte do, where they were "
            "measured."
        )
    if len({str(run.config.get("objectives")) for run in runs}) > 1:
        return "The runs have different objectives; compare the losses of one objective only."
    return ""


def _overlaid(runs: Sequence[Run], names: Sequence[str]) -> list[Child]:
    """A chart for each quantity that some run has, a colour for each run."""
    measured = [name for name in _columns(runs) if name.endswith(("loss", BITS))]
    measured.sort(key=lambda name: (name.endswith(BITS), name.count("/"), not name.startswith("validation/")))
    charts = []
    for name in measured:
        unit = "bits a byte" if name.endswith(BITS) else LOSS_UNIT
        chart = Chart(loss_title(name), unit, (), loss)
        charts.append(_one_chart(runs, names, name, chart, dots=name.startswith("validation")))
    for each in QUANTITIES:
        chart = Chart(each.title, each.unit, (), each.spell, from_zero=each.from_zero)
        charts.append(_one_chart(runs, names, each.column, chart._replace(smoothed=each.column != "learning_rate")))
    return [chart.draw(wide=number < 2) for number, chart in enumerate(charts)]


def loss_title(column: str) -> str:
    """What the chart of a loss or of bits per byte is called: another title for each column.

    `validation/loss` → Validation loss, `train/masked_lm/loss` → Training loss of masked lm.
    """
    side, *objective, quantity = column.split("/")
    title = f"{SIDES.get(side, side).replace('_', ' ')} {quantity.replace('_', ' ')}"
    return f"{title} of {' '.join(objective).replace('_', ' ')}" if objective else title


def _columns(runs: Sequence[Run]) -> list[str]:
    """The columns of all logs; the loss of an objective that is the only one is that of the run."""
    columns = list(dict.fromkeys(name for run in runs for name in run.log.columns))
    if all(len(run.objectives) == 1 for run in runs):
        columns = [name for name in columns if not (name.endswith("/loss") and name.count("/") > 1)]
    return columns


def _one_chart(runs: Sequence[Run], names: Sequence[str], column: str, chart: Chart, dots: bool = False) -> Chart:
    pairs = enumerate(zip(runs, names, strict=True))
    curves = [series_of(run, column, name, number, dots) for number, (run, name) in pairs]
    return chart._replace(series=curves)


def _results(runs: Sequence[Run], names: Sequence[str], place: Path) -> Child:
    """The last values of each run; of those that compare the lowest is marked, and they stand first."""
    measured = [
        name
        for name in _columns(runs)
        if name.startswith("validation/")
        and not name.endswith("/count")
        and any(run.log.last(name) is not None for run in runs)
    ]
    fair = () if _different_tokens(runs) else ("validation/loss",)
    compared = [name for name in measured if name.endswith(BITS) or name in fair]
    measured.sort(key=lambda name: name not in compared)
    lowest = {name: min(last for run in runs if (last := run.log.last(name)) is not None) for name in compared}
    columns = ["run", "state", "steps", "tokens", "seconds", *measured, "training loss", "tokens/s"]
    rows: list[list[Cell]] = []
    for run, name in zip(runs, names, strict=True):
        report = run.folder / "report.html"
        link = element("a", name, href=_relative(report, place)) if report.is_file() else name
        tokens, seconds = run.log.last("tokens"), run.log.last("seconds")
        speed = tokens / seconds if tokens and seconds else None
        rows.append(
            [
                element("span", link, class_=f"key c{len(rows) % 8}{' dashed' if len(rows) >= 8 else ''}"),
                "finished" if run.is_finished else "unfinished",
                run.steps,
                None if tokens is None else round(tokens),
                None if seconds is None else round(seconds),
                *(_measured(run, key, lowest.get(key)) for key in measured),
                run.log.last("train/loss"),
                None if speed is None else round(speed),
            ]
        )
    return table(columns, rows, "results")


def _measured(run: Run, column: str, lowest: float | None) -> Cell:
    """The last value of a column, marked where it is the lowest of a column that compares."""
    value = run.log.last(column)
    return element("b", written(value)) if value is not None and value == lowest else value


def _relative(path: Path, place: Path) -> str:
    return Path(os.path.relpath(path.resolve(), place.resolve())).as_posix()


def _differences(runs: Sequence[Run], names: Sequence[str]) -> list[Child]:
    """The settings in which the runs differ."""
    settings = [flatten(run.config) for run in runs]
    keys = list(dict.fromkeys(key for one in settings for key in one if key != "name"))
    rows: list[list[Cell]] = []
    for key in keys:
        values = [one.get(key, "\N{EM DASH}") for one in settings]
        if any(value != values[0] for value in values[1:]):
            rows.append([element("code", key), *(_setting(value) for value in values)])
    if not rows:
        return [note("The configs are the same but for the name.")]
    return [table(["setting", *names], rows, "settings"), note("\N{EM DASH}: the run has no such setting.")]


def _setting(value: object) -> str:
    """A value as YAML has it."""
    words = {None: "null", True: "true", False: "false"}
    return words[value] if value is None or isinstance(value, bool) else str(value)
