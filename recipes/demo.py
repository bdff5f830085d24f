"""A BERT, a GPT and a T5, all made of the same blocks, learn from the documentation of the Python that runs them.

    make demo          (or: python -m recipes.demo [key=value …])

Nothing is downloaded. Each of the three is pretrained in nano size, then tried: masks filled, a text continued, spans
filled. At the end stand one table and one picture of the loss curves. Run it again and it finds the finished runs;
stop it and it goes on where it was. It takes about six minutes on 2 CPU cores, most of it training.
"""

import sys
import time
from pathlib import Path
from types import ModuleType

from rich.console import Console
from rich.table import Table

from recipes import bert, gpt, t5
from zoo.errors import ZooError
from zoo.training.curves import draw_curves
from zoo.training.interrupt import Interrupted
from zoo.training.run import Result

FAMILIES: dict[str, ModuleType] = {
    "BERT (encoder)": bert,
    "GPT (decoder)": gpt,
    "T5 (encoder-decoder)": t5,
}
PICTURE = Path("runs/demo/loss-curves.png")


def main(overrides: list[str]) -> None:
    """Runs the three recipes; `overrides` go over the config of each."""
    console, began = Console(highlight=False), time.monotonic()
    results: dict[str, Result] = {}
    for family, recipe in FAMILIES.items():
        console.rule(f"[bold]{family}")
        name = f"name=demo-{recipe.__name__.rpartition('.')[2]}"
        results[family] = recipe.main([name, *overrides])
    console.rule("[bold]what came out")
    console.print(table(results))
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


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Interrupted as stopped:
        sys.exit(f"{stopped} (make demo)")
    except ZooError as error:
        sys.exit(f"error: {error}")
