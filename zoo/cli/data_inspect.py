"""`zoo data inspect`: rows of a training step as the model sees them.

Which rows a step trains on, and with which noise, is a function of the config and the step, so nothing has to be
trained to look at any of them. What is shown is read off the batch itself, not off the code that makes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli.arguments import ConfigName, Settings, examples, whole_number
from zoo.cli.screen import screen_width

if TYPE_CHECKING:
    from zoo.objectives.mixture import Part
    from zoo.tokenizer.tokenizer import Tokenizer
    from zoo.training.config import RunConfig

EXAMPLES = examples(
    "zoo data inspect bert-nano",
    "zoo data inspect gpt-nano --step 300 --rows 2",
    "zoo data inspect t5-nano --step 10 --row 3 --rows 1",
    "zoo data inspect runs/gpt-nano",
    "zoo data inspect bert-nano objectives.masked_lm.rate=0.4 | less",
)


def run(
    config: ConfigName,
    settings: Settings = None,
    step: Annotated[
        int, typer.Option(parser=whole_number, metavar="number", help="which optimizer step, the first being 1")
    ] = 1,
    row: Annotated[
        int, typer.Option(parser=whole_number, metavar="number", help="the first row of the step to show")
    ] = 1,
    rows: Annotated[int, typer.Option(parser=whole_number, metavar="number", help="how many rows to show")] = 3,
) -> None:
    """Show rows of a training step as the model sees them.

    The pieces of the tokenizer one by one, document by document: what noise made of them and what is to be predicted.
    In colour on a terminal; without colour (NO_COLOR, a pipe) the signs say the same.
    """
    from rich.console import Console

    console = Console(width=screen_width(), highlight=False)
    for block in shown(config, settings or (), step, row, rows):
        with console.capture() as capture:
            console.print(block)
        for line in capture.get().splitlines():
            print(line.rstrip())


def shown(config: str, settings: Iterable[str], step: int, row: int, rows: int) -> Iterator[Any]:
    """What is printed, block by block.

    Args:
        config: a config or a run folder. settings: `key=value` over it.
        step, row: the first row, both counted from 1. rows: how many, fewer where the step ends.

    Raises:
        ConfigError: a number is out of range. What `load_corpus` raises.
    """
    from rich.text import Text

    from zoo.cli.row_text import legend, row_table, sides_of
    from zoo.training.shipped import load_run

    resolved: RunConfig = load_run(config, settings).config
    _check("step", step)
    size = resolved.trainer.rows.value(step - 1)
    _check("row", row, size)
    _check("rows", rows)
    ways: dict[str, None] = {}
    tokenizer, drawn = draw_rows(resolved, step - 1, row - 1, min(rows, size - row + 1))
    for number, (source, part) in enumerate(drawn, start=row):
        sides = sides_of(part, resolved.model.kind)
        ways |= dict.fromkeys(side.way for side in sides)
        about = [f"step {step}, row {number} of {size}", *([f"source {source}"] if source else []), *part.names]
        yield Text(" · ".join(about), style="bold")
        yield row_table(part, sides, tokenizer)
    yield legend(ways)


def draw_rows(config: RunConfig, step: int, first: int, count: int) -> tuple[Tokenizer, list[tuple[str, Part]]]:
    """The tokenizer of a run and `count` rows of a step, both counted from 0: for each its source, and a batch of it
    alone, which is the same as in the batch of the step."""
    from zoo.cli.data_prepare import prepared
    from zoo.data.plan import Plan
    from zoo.objectives.base import Setup
    from zoo.objectives.mixture import Mixture
    from zoo.training.split_rows import split_rows

    corpus, length = prepared(config), config.lengths.value(step)
    mixture = Mixture(config.objectives, Setup(corpus.tokenizer, length, config.seed))
    rows = split_rows(mixture, corpus, config, "training")
    first_step = config.lengths.begins[config.lengths.values.index(length)]  # rows of another length begin anew
    plan = Plan(rows.num_rows, config.trainer.rows, config.seed, first_step, rows.shuffled)
    epochs, samples = plan.step(step)
    drawn = []
    for index in range(first, first + count):
        (part,) = rows.collate(epochs[index : index + 1], samples[index : index + 1])
        source = "".join(name for name, tokens in zip(rows.sources, part.source_tokens, strict=True) if tokens)
        drawn.append((source, part))
    return corpus.tokenizer, drawn


def _check(name: str, number: int, most: int | None = None) -> None:
    from zoo.errors import ConfigError
    from zoo.spelling import named

    if number < 1 or (most is not None and number > most):
        legal = "at least 1" if most is None else f"from 1 to {most}, the rows of a step (trainer.batch_size)"
        raise ConfigError(f"{named(name, number)} must be {legal}")
