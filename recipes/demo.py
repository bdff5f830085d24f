"""A BERT, a GPT and a T5, all made of the same blocks, learn from the documentation of the Python that runs them.

    make demo          (or: python -m recipes.demo [key=value …] [--fresh])

Nothing is downloaded. Each of the three is pretrained in nano size, then tried: masks filled, a text continued, spans
filled. At the end stand one table and one picture of the loss curves. Run it again and it finds the finished runs;
stop it and it goes on where it was. It takes about six minutes on 2 CPU cores, most of it training.
"""

import time
from pathlib import Path
from types import ModuleType

from rich.console import Console
from rich.table import Table

from recipes import bert, gpt, t5
from recipes.command_line import run
from zoo.training.curves import draw_curves
from zoo.training.run import Result

FAMILIES: dict[str, ModuleType] = {
    "BERT (encoder)": bert,
    "GPT (decoder)": gpt,
    "T5 (encoder-decoder)": t5,
}
PICTURE = Path("runs/demo/loss-curves.png")


def main(overrides: list[str], *, fresh: bool = False) -> None:
    """Runs the three recipes; `overrides` go over the config of each, `fresh` starts all three anew."""
    console, began = Console(highlight=False), time.monotonic()
    results: dict[str, Result] = {}
    for family, recipe in FAMILIES.items():
        console.rule(f"[bold]{family}")
        name = f"name=demo-{recipe.__name__.rpartition('.')[2]}"
        results[family] = recipe.main([name, *overrides], fresh=fresh)
    console.rule("[bold]what came out")
    console.print(table(results))
    for line in sums(results):
        console.print(line)
    picture = draw_curves([result.folder for result in results.values()], PICTURE)
    console.print(f"loss curves: {picture}")
    console.print(f"the demo took {(time.monotonic() - began) / 60:.1f} minutes; the runs are in runs/demo-*")


def table(results: dict[str, Result]) -> Table:
    """One row a family: parameters, loss first → last, tokens/s."""
    lines = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("family", "parameters", "loss first → last", "validation loss", "tokens/s"):
        lines.add_column(heading, justify="left" if heading == "family" else "right")
    for family, result in results.items():
        lines.add_row(
            family,
            f"{result.parameters:,}",
            f"{result.first_loss:.2f} → {result.metrics['train/loss']:.2f}",
            f"{result.metrics['validation/loss']:.3f}",
            f"{result.tokens / result.seconds:,.0f}",
        )
    return lines


def sums(results: dict[str, Result]) -> list[str]:
    """A line for each loss that is a sum: validation losses compare between families only objective by objective."""
    lines = []
    for family, result in results.items():
        parts = {
            name.split("/")[1]: loss
            for name, loss in result.metrics.items()
            if name.startswith("validation/") and name.endswith("/loss") and name.count("/") == 2
        }
        if len(parts) > 1:
            lines.append(f"{family}: the sum of {' and '.join(f'{name} {loss:.3f}' for name, loss in parts.items())}")
    return lines


if __name__ == "__main__":
    run(main, __doc__)
