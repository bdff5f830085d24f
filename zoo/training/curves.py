"""The loss curves of one or several runs in one picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from zoo.training.metrics_file import read_metrics


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
    for axis, folder in zip(axes[0], folders, strict=True):
        rows = read_metrics(folder / "metrics.csv")
        for column, style in (
            ("train/loss", {"color": "#4878a8", "linewidth": 1.2, "label": "training"}),
            ("validation/loss", {"color": "#d1495b", "marker": "o", "markersize": 4, "label": "validation"}),
        ):
            points = [(float(row["tokens"]), float(row[column])) for row in rows if row[column]]
            if points:
                axis.plot(*zip(*points, strict=True), **style)
                axis.annotate(f"{points[-1][1]:.2f}", points[-1], xytext=(4, 0), textcoords="offset points", fontsize=8)
        axis.set_title(folder.name)
        axis.set_xlabel("tokens")
        axis.set_ylabel("loss (nats)")
        axis.xaxis.set_major_formatter(EngFormatter(sep=""))
        axis.grid(alpha=0.25)
        axis.margins(x=0.08)
        axis.legend(frameon=False)
    figure.tight_layout()
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=130)
    pyplot.close(figure)
    return picture
