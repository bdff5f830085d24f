"""A line chart that fits any width: its curves stretch, its words and strokes do not.

The curves are an SVG without words whose two axes stretch independently; strokes keep their width by `vector-effect`, a
dot is a stroke of no length with a round end. Numbers at the axes are HTML, placed by per cent. Each chart holds one
plot for each axis and scale, of which the style sheet shows the chosen one, so that choosing needs no script; a script
adds the values under the pointer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import NamedTuple
from xml.etree.ElementTree import Element

import numpy as np

from zoo.report.axes import Axis, linear_axis, log_axis, time_axis
from zoo.report.markup import element
from zoo.report.series import MOST_POINTS, Series, smooth, thin

WIDTH, HEIGHT = 2000, 1000
"""Units of the drawing."""
AXES = {"steps": "steps", "tokens": "tokens", "time": "time"}
"""What a curve may run against, to be chosen: key → what it is called. Other keys are shown anyway, logarithmic."""
SCALES = {"linear": "linear", "log": "logarithmic"}
MOST_TO_READ = 240
"""Points of a curve whose values the pointer finds."""
COLORS = 8
"""Colours of the palette; further curves repeat them, dashed."""
APART = 0.075
"""Share of the height that two labels at the ends of curves keep from each other."""
WIDE_SPREAD = 40
"""Ratio of the largest to the smallest value beyond which the height is logarithmic."""


class Chart(NamedTuple):
    """What a chart shows.

    Attributes:
        title: what is measured. unit: in what, "" for nothing.
        series: the curves.
        spell: how a value is written.
        lines: (height, label) of horizontal lines to compare with.
        from_zero: whether the height starts at 0.
        smoothed: whether long curves are smoothed, their points pale behind.
    """

    title: str
    unit: str
    series: Sequence[Series]
    spell: Callable[[float], str]
    lines: Sequence[tuple[float, str]] = ()
    from_zero: bool = False
    smoothed: bool = True

    def draw(self, wide: bool = False) -> Element | None:
        """The chart as a figure; None where no curve has a point.

        Args:
            wide: whether it takes the whole width of the page.
        """
        series = [each for each in self.series if len(each.y)]
        if not series:
            return None
        curves = [_Curve(each, smooth(each.y) if self.smoothed and not each.dots else None) for each in series]
        height = self._height(curves)
        words = ", ".join(f"{each.label} {self.spell(each.y[-1])}" for each in series)
        values = json.dumps([_readable(each) for each in series], separators=(",", ":"))
        ways = [(axis, scale) for axis in AXES if axis in series[0].x for scale in SCALES]
        plots = [
            _plot(curves, _across(series, axis, scale), height, self, f"{axis} {scale}", f"{self.title}: {words}")
            for axis, scale in ways or [(axis, "only") for axis in series[0].x]
        ]
        unit = element("span", self.unit, class_="unit") if self.unit else None
        caption = element("figcaption", element("b", self.title), unit, _legend(curves))
        kind = "chart wide" if wide else "chart"
        return element("figure", caption, *plots, class_=kind, data_values=values, data_percent=self.unit == "%")

    def _height(self, curves: Sequence[_Curve]) -> Axis:
        """The vertical axis: all that is drawn, but for rare spikes; logarithmic where values differ by orders."""
        steady = np.concatenate([curve.smoothed if curve.smoothed is not None else curve.series.y for curve in curves])
        every = np.concatenate([curve.series.y for curve in curves])
        marked = [value for value, _ in self.lines]
        low, high = float(min(np.percentile(every, 0.3), steady.min())), float(np.percentile(every, 99.7))
        low, high = min([low, *marked]), max([high, float(steady.max()), *marked])
        if low > 0 and high / low > WIDE_SPREAD and not self.from_zero:
            return log_axis(low, high, spell=self.spell)
        if self.from_zero:
            low = min(low, 0.0)
        room = 0.06 * (high - low or abs(high) or 1.0)
        low = low if self.from_zero and low == 0 else low - room
        return linear_axis(low, high + room, spell=self.spell if self.unit == "%" else None)


class _Curve(NamedTuple):
    series: Series
    smoothed: np.ndarray | None


def _across(series: Sequence[Series], axis: str, scale: str) -> Axis:
    """The horizontal axis; one that is not linear starts where the first curve does."""
    low = min(float(each.x[axis][0]) for each in series)
    high = max(float(each.x[axis][-1]) for each in series)
    if scale == "linear":
        return time_axis(0.0, high) if axis == "time" else linear_axis(0.0, high)
    low = max(low, high * 1e-6, 1e-9)
    return time_axis(low, high, log=True) if axis == "time" else log_axis(low, high)


def _plot(curves: Sequence[_Curve], across: Axis, height: Axis, chart: Chart, name: str, words: str) -> Element:
    """One plot: grid, curves and the words around them."""
    drawn: list[Element] = [
        element("path", d=f"M0 {_down(height, mark)}H{WIDTH}", class_="grid") for mark, _ in height.ticks
    ]
    for value, _ in chart.lines:
        drawn.append(element("path", d=f"M0 {_down(height, value)}H{WIDTH}", class_="compared"))
    axis = name.split()[0]
    for curve in curves:
        drawn += _paths(curve, axis, across, height, curve.smoothed is not None and _with_points(curves))
    picture = element(
        "svg",
        *drawn,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        preserveAspectRatio="none",
        role="img",
        aria_label=words,
    )
    beside = [
        element("span", word, class_="y", style=f"top:{100 - 100 * float(height.place(mark)):.1f}%")
        for mark, word in height.ticks
    ]
    below = [
        element("span", word, class_="x" if index % 2 == 0 else "x between", style=_left(across, mark))
        for index, (mark, word) in enumerate(across.ticks)
    ]
    lines = [
        element("span", label, class_="line", style=f"top:{100 - 100 * float(height.place(value)):.1f}%")
        for value, label in chart.lines
    ]
    return element(
        "div",
        picture,
        *beside,
        *below,
        *lines,
        *_ends(curves, height, chart.spell),
        class_=f"plot {name}",
        data_axis=axis,
        data_across=f"{across.low:.8g} {across.high:.8g} {int(across.log)}",
        data_height=f"{height.low:.8g} {height.high:.8g} {int(height.log)}",
    )


def _paths(curve: _Curve, axis: str, across: Axis, height: Axis, with_points: bool) -> list[Element]:
    """The curve; where it is smoothed, its points pale behind it, unless too many curves have some."""
    series, smoothed = curve
    color = f"c{series.color % COLORS}" + (" dashed" if series.color >= COLORS else "")
    behind = [_path(series.only(thin(series.y)), axis, across, height, f"raw {color}")] if with_points else []
    front = series if smoothed is None else series._replace(y=smoothed)
    line = front.only(thin(front.y, MOST_POINTS // 2 if smoothed is not None else MOST_POINTS))
    paths = [*behind, _path(line, axis, across, height, f"curve {color}")]
    if series.dots or len(series.y) == 1:
        x, y = _places(line, axis, across, height)
        dots = "".join(f"M{left} {down}h0" for left, down in zip(x, y, strict=True))
        paths.append(element("path", d=dots, class_=f"dots {color}"))
    return paths


def _with_points(curves: Sequence[_Curve]) -> bool:
    """Whether the logged points are seen behind smoothed curves: those of many would hide each other."""
    return sum(curve.smoothed is not None for curve in curves) <= 2


def _path(series: Series, axis: str, across: Axis, height: Axis, kind: str) -> Element:
    x, y = _places(series, axis, across, height)
    steps = "".join(
        f"{right:d}{' ' if down >= 0 else ''}{down:d} " for right, down in zip(np.diff(x), np.diff(y), strict=True)
    )
    return element("path", d=f"M{x[0]} {y[0]}" + (f"l{steps.rstrip()}" if steps else ""), class_=kind)


def _places(series: Series, axis: str, across: Axis, height: Axis) -> tuple[np.ndarray, np.ndarray]:
    x = np.rint(WIDTH * across.place(series.x[axis])).astype(int)
    return x, np.rint(HEIGHT * (1 - height.place(series.y))).astype(int)


def _down(height: Axis, value: float) -> int:
    return round(HEIGHT * (1 - float(height.place(value))))


def _left(across: Axis, mark: float) -> str:
    return f"left:{100 * float(across.place(mark)):.1f}%"


def _ends(curves: Sequence[_Curve], height: Axis, spell: Callable[[float], str]) -> list[Element]:
    """The last value of each curve, beside its end; labels that would cover each other are moved apart."""
    if len(curves) > 4:
        return []
    last = [(curve.series.y if curve.smoothed is None else curve.smoothed)[-1] for curve in curves]
    order = sorted(range(len(curves)), key=lambda index: -last[index])
    tops: dict[int, float] = {}
    below = -1.0
    for index in order:
        below = tops[index] = max(1 - float(height.place(last[index])), below + APART)
    too_low = max(0.0, below - 1.0)
    return [
        element(
            "span",
            spell(last[index]),
            class_=f"end c{curve.series.color % COLORS}",
            style=f"top:{100 * (tops[index] - too_low):.1f}%",
        )
        for index, curve in enumerate(curves)
    ]


def _legend(curves: Sequence[_Curve]) -> Element | None:
    """What each colour is; a single curve needs none, unless it is smoothed."""
    if len(curves) == 1 and curves[0].smoothed is None:
        return None
    keys = [
        element(
            "span",
            curve.series.label if len(curves) > 1 else "smoothed",
            class_=f"key c{curve.series.color % COLORS}{' dashed' if curve.series.color >= COLORS else ''}",
        )
        for curve in curves
    ]
    if any(curve.smoothed is not None for curve in curves):
        words = ["smoothed"] if len(curves) > 1 else []
        words += ["pale: as logged"] if _with_points(curves) else []
        keys.append(element("span", "; ".join(words)))
    return element("span", *keys, class_="legend")


def _readable(series: Series) -> dict[str, object]:
    """What the pointer reads: the logged values at some of the points."""
    some = series.only(thin(series.y, MOST_TO_READ))
    numbers = {axis: [float(f"{value:.6g}") for value in values] for axis, values in some.x.items()}
    return {"label": some.label, "y": [float(f"{value:.4g}") for value in some.y], **numbers}
