"""Which columns of the log make which chart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple
from xml.etree.ElementTree import Element

from zoo.objectives.base import ObjectiveConfig
from zoo.quantity import short_number
from zoo.report.chart import AXES, SCALES, Chart
from zoo.report.folder import CLOCKS, Run
from zoo.report.markup import Child, element
from zoo.report.series import Series
from zoo.report.tables import loss, percent, rate

TRAINING, VALIDATION = 0, 1
"""Numbers of their colours."""
LOSS_UNIT = "nats a target"
MOST_OTHERS = 24
"""Of the columns that have no chart of their own here."""


class Quantity(NamedTuple):
    """A column with a chart of its own."""

    column: str
    title: str
    unit: str
    spell: Callable[[float], str]
    from_zero: bool = False


QUANTITIES = (
    Quantity("learning_rate", "Learning rate", "", rate, True),
    Quantity("gradient_norm", "Gradient norm", "", rate, True),
    Quantity("tokens_per_second", "Throughput", "tokens/s", short_number, True),
    Quantity("mfu", "Model FLOPs utilization", "%", percent, True),
    Quantity("utilization/process", "Processor cores in use", "%", percent, True),
    Quantity("utilization/device", "Device in use", "%", percent, True),
    Quantity("memory/process", "Memory of the process", "bytes", short_number, True),
    Quantity("memory/device", "Memory of the device", "bytes", short_number, True),
    Quantity("memory/system", "Memory in use on the machine", "%", percent, True),
)


def series_of(run: Run, column: str, label: str, color: int, dots: bool = False) -> Series:
    """A column as a curve; without points where there is no such column."""
    axes, values = run.log.points(column)
    return Series(label, color, axes, values, dots)


def loss_charts(run: Run) -> list[Chart]:
    """Training and validation loss of the whole, and of each objective where there are several."""
    objectives = [name for name in run.objectives if f"train/{name}/loss" in run.log.columns]
    names = ["", *objectives] if len(objectives) != 1 else [""]
    charts = []
    for name in names:
        of = f"{name}/" if name else ""
        curves = [
            series_of(run, f"train/{of}loss", "training", TRAINING),
            series_of(run, f"validation/{of}loss", "validation", VALIDATION, dots=True),
        ]
        title = f"Loss of {name.replace('_', ' ')}" if name else "Loss"
        unit = LOSS_UNIT if name or len(objectives) == 1 else "weighted sum"
        told = name or (objectives[0] if len(objectives) == 1 else "")
        charts.append(Chart(title, unit, curves, loss, lines=_unigram(run, told)))
    return charts


def _unigram(run: Run, objective: str) -> list[tuple[float, str]]:
    """The loss of knowing how frequent each token is, for an objective that predicts tokens."""
    entropy = run.text.get("entropy")
    settings = run.objectives.get(objective, {})
    kind = ObjectiveConfig.choices.get(str(settings.get("kind")))
    if kind is None or kind.head != "language_model" or not isinstance(entropy, int | float):
        return []
    if settings.get("weight", 1.0) != 1.0 and len(run.objectives) == 1:
        return []  # the one curve is weighted, and no entropy is
    return [(float(entropy), f"entropy of single tokens {loss(float(entropy))}")]


def quantity_charts(run: Run) -> list[Chart]:
    """Learning rate, gradient norm, throughput, utilization, memory."""
    charts = []
    for each in QUANTITIES:
        curve = series_of(run, each.column, each.title.lower(), TRAINING)
        is_noisy = each.column != "learning_rate"
        charts.append(Chart(each.title, each.unit, [curve], each.spell, from_zero=each.from_zero, smoothed=is_noisy))
    return charts


def other_charts(run: Run) -> tuple[list[Chart], list[str]]:
    """(charts of the columns that have none yet, names of those that are too many)."""
    known = {*CLOCKS.values(), *(each.column for each in QUANTITIES), "train/loss", "validation/loss"}
    known |= {f"{side}/{name}/loss" for side in ("train", "validation") for name in run.objectives}
    names = [
        name
        for name in run.log.columns
        if name not in known and not name.endswith(("/targets", "/count")) and len(run.log.points(name)[1])
    ]
    charts = []
    for name in names[:MOST_OTHERS]:
        curve = series_of(run, name, name, TRAINING, dots=name.startswith("validation/"))
        title = name.replace("_", " ").replace("/", " \N{MIDDLE DOT} ")
        charts.append(Chart(title[0].upper() + title[1:], "", [curve], rate))
    return charts, names[MOST_OTHERS:]


def by_position_chart(run: Run) -> Chart | None:
    """Loss by place in the row, of the newest evaluation that measured it."""
    if not run.by_position:
        return None
    newest = run.by_position[-1]
    curves = [
        Series(name.replace("_", " "), VALIDATION + number, {"position": places}, losses)
        for number, (name, (places, losses)) in enumerate(newest.curves.items())
    ]
    return Chart(f"Validation loss by position, step {newest.step:,}", LOSS_UNIT, curves, loss, smoothed=False)


def panel(children: Iterable[Child]) -> Element:
    """Charts under the switches that choose what all of them run against; the switches work without a script.

    Args:
        children: figures.
    """
    switches: list[Child] = []
    groups: Sequence[tuple[str, dict[str, str], str]] = (("against", AXES, "steps"), ("scale", SCALES, "linear"))
    labels = []
    for group, choices, usual in groups:
        for key in choices:
            switch = element("input", type="radio", name=group, id=f"{group}-{key}", checked=key == usual)
            switches.append(switch)
        inside = [element("label", word, for_=f"{group}-{key}") for key, word in choices.items()]
        labels.append(element("span", *inside, class_="choice"))
    bar = element("div", *labels, class_="switches")
    return element("div", *switches, bar, element("div", *children, class_="charts"), class_="panel")
