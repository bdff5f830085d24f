"""A line chart."""

import json
import re

import numpy as np
import pytest

from zoo.report.chart import APART, AXES, HEIGHT, SCALES, WIDTH, Chart
from zoo.report.series import Series
from zoo.report.tables import loss


def curve(y, label: str = "training", color: int = 0, dots: bool = False) -> Series:
    y = np.asarray(y, dtype=float)
    steps = np.arange(1.0, len(y) + 1)
    return Series(label, color, {"steps": steps, "tokens": steps * 512, "time": steps * 0.5}, y, dots)


def chart(*series: Series, **more) -> Chart:
    return Chart("Loss", "nats", series, loss, **more)


def plots(figure):
    return figure.findall(".//div[@data-axis]")


def test_a_plot_for_each_axis_and_scale() -> None:
    figure = chart(curve([3, 2, 1])).draw()
    ways = {f"plot {axis} {scale}" for axis in AXES for scale in SCALES}
    assert {plot.get("class") for plot in plots(figure)} == ways


def test_curve_of_another_axis_is_always_seen() -> None:
    figure = chart(Series("a", 0, {"position": np.arange(1.0, 9)}, np.arange(8.0))).draw()
    assert [plot.get("class") for plot in plots(figure)] == ["plot position only"]


def test_nothing_to_draw() -> None:
    assert chart(curve([])).draw() is None
    assert len(json.loads(chart(curve([]), curve([1, 2], "b")).draw().get("data-values"))) == 1


def end_of(path: str) -> tuple[int, int]:
    """Where a path of relative steps ends."""
    x, y = map(int, re.match(r"M(\d+) (\d+)", path).groups())
    steps = [int(number) for number in re.findall(r"-?\d+", path.partition("l")[2])]
    return x + sum(steps[0::2]), y + sum(steps[1::2])


@pytest.mark.parametrize("count", [2, 10, 5000])
def test_curve_goes_from_end_to_end(count: int) -> None:
    y = np.linspace(9, 3, count)
    figure = chart(curve(y), smoothed=False).draw()
    (plot,) = [plot for plot in plots(figure) if plot.get("class") == "plot steps linear"]
    (path,) = [path.get("d") for path in plot.iter("path") if "curve" in path.get("class")]
    x, down = end_of(path)
    assert x == WIDTH
    assert HEIGHT * 0.85 < down < HEIGHT, "the lowest value is low in the picture"
    assert len(path) < 8000


def test_smoothed_curve_has_its_points_behind() -> None:
    noisy = 3 + np.random.default_rng(0).normal(size=500)
    figure = chart(curve(noisy)).draw()
    kinds = [path.get("class") for path in plots(figure)[0].iter("path") if path.get("class") not in ("grid",)]
    assert kinds == ["raw c0", "curve c0"]
    assert "smoothed" in "".join(figure.find("figcaption").itertext())


def test_line_to_compare_with_is_inside() -> None:
    figure = chart(curve([9, 8, 7]), lines=[(6.4, "entropy 6.4")]).draw()
    (label,) = [span for span in plots(figure)[0] if span.get("class") == "line"]
    assert label.text == "entropy 6.4"
    assert 0 < float(re.search(r"top:([\d.]+)%", label.get("style"))[1]) < 100


@pytest.mark.parametrize("last", [(3.0, 3.0, 3.0), (3.0, 3.01, 9.0), (1.0, 1.0, 1.0)])
def test_last_values_do_not_cover_each_other(last) -> None:
    figure = chart(*(curve([10, value], f"run {value}", n) for n, value in enumerate(last))).draw()
    ends = [span for span in plots(figure)[0] if "end" in (span.get("class") or "")]
    tops = sorted(float(re.search(r"top:([\d.]+)%", span.get("style"))[1]) for span in ends)
    assert [span.text for span in ends] == [loss(value) for value in last]
    assert min(np.diff(tops)) > 100 * APART - 0.2
    assert tops[-1] <= 100


def test_spike_does_not_flatten_the_rest() -> None:
    y = np.full(1000, 2.0) + np.linspace(1, 0, 1000)
    y[500] = 1e6
    height = plots(chart(curve(y)).draw())[0].get("data-height").split()
    assert float(height[1]) < 1e5


def test_values_over_orders_of_magnitude_are_logarithmic() -> None:
    assert plots(chart(curve(np.geomspace(1e-3, 1e3, 50))).draw())[0].get("data-height").endswith(" 1")
    assert plots(chart(curve([9, 3])).draw())[0].get("data-height").endswith(" 0")


def test_one_point_is_a_dot() -> None:
    assert any("dots" in path.get("class") for path in chart(curve([3])).draw().iter("path"))


def test_zero_everywhere() -> None:
    assert chart(curve([0, 0, 0]), from_zero=True).draw() is not None
