"""The loss curves of one or several runs in one picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.training.metrics_file import read_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes


Point = tuple[float, float]
FONT_SIZE = 8
ROOM_FOR_LABELS = 0.14
"""Share of the width that is kept free behind the curves."""


def draw_curves(folders: Sequence[Path], picture: Path) -> Path:
    """Draws training and validation loss against tokens for each run folder.

    Args:
        folders: run folders with a metrics.csv.
        picture: where the PNG goes.

    Returns:
        `picture`.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import EngFormatter

    figure, axes = pyplot.subplots(1, len(folders), figsize=(4.6 * len(folders), 3.8), squeeze=False, sharex=False)
    drawn: list[tuple[Axes, list[tuple[Point, str]]]] = []
    for axis, folder in zip(axes[0], folders, strict=True):
        rows = read_metrics(folder / "metrics.csv")
        ends: list[tuple[Point, str]] = []
        for column, color, style in (
            ("train/loss", "#4878a8", {"linewidth": 1.2, "label": "training"}),
            ("validation/loss", "#d1495b", {"marker": "o", "markersize": 4, "label": "validation"}),
        ):
            points = [(float(row["tokens"]), float(row[column])) for row in rows if row[column]]
            if points:
                axis.plot(*zip(*points, strict=True), color=color, **style)
                ends.append((points[-1], color))
        axis.set_title(folder.name)
        axis.set_xlabel("tokens")
        axis.set_ylabel("loss (nats)")
        axis.xaxis.set_major_formatter(EngFormatter(sep=""))
        axis.grid(alpha=0.25)
        axis.margins(x=0.02)
        axis.set_xlim(right=axis.get_xlim()[1] + ROOM_FOR_LABELS * (axis.get_xlim()[1] - axis.get_xlim()[0]))
        axis.legend(frameon=False)
        drawn.append((axis, ends))
    figure.tight_layout()
    for axis, ends in drawn:  # once the axes have their final size
        _label_ends(axis, ends)
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=130)
    pyplot.close(figure)
    return picture


def _label_ends(axis: Axes, ends: list[tuple[Point, str]]) -> None:
    """Writes the last value of each curve behind it; values that lie too close are moved apart, half each."""
    height = FONT_SIZE * 1.25
    points_per_pixel = 72 / axis.figure.dpi
    placed = sorted(
        (float(axis.transData.transform(point)[1]) * points_per_pixel, point, color) for point, color in ends
    )
    for index, (_, point, color) in enumerate(placed):
        shift = 0.0
        if len(placed) == 2:
            overlap = max(height - (placed[1][0] - placed[0][0]), 0.0)
            shift = overlap / 2 * (1 if index else -1)
        axis.annotate(
            f"{point[1]:.2f}",
            point,
            xytext=(5, shift),
            textcoords="offset points",
            verticalalignment="center",
            fontsize=FONT_SIZE,
            color=color,
        )
