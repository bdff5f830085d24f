"""What a run costs, told from its config: tokens, floating-point operations, and what a device works on at once.

Rows are taken for full: packing leaves a few per cent of their places empty.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple

from zoo.models import Model
from zoo.models.flops import RowShape, training_flops
from zoo.training.config import RunConfig
from zoo.training.memory import Load


class Cost(NamedTuple):
    """Of a whole run, over all ranks.

    Attributes:
        steps: optimizer steps. tokens: that go into the model, encoder and decoder together, repeats counted.
        flops: operations of training on them.
    """

    steps: int
    tokens: float
    flops: float

    def hours(self, flops_per_second: float) -> float:
        """How long it takes where so many operations a second are done, all devices together."""
        return self.flops / flops_per_second / 3600


def run_cost(config: RunConfig, model: Model, flops_per_second: float = 0.0) -> Cost:
    """What the run of this config costs.

    Args:
        config: the run.
        model: the one that it trains, with or without data.
        flops_per_second: that all devices do together; asked for where the budget is in hours.
    """
    budget, course = config.trainer.budget, _Course(config, model)
    known = budget.steps_at_most()
    if known is not None:
        return course.until(known)

    def is_spent(steps: int) -> bool:
        cost = course.until(steps)
        hours = cost.hours(flops_per_second) if budget.unit == "hours" else 0.0
        return {"tokens": cost.tokens, "flops": cost.flops, "hours": hours}[budget.unit] >= budget.limit

    enough = 1
    while not is_spent(enough):
        enough *= 2
    steps = range(enough // 2, enough + 1)
    return course.until(steps[bisect_left(steps, True, key=is_spent)])


class _Course:
    """What a run costs up to a step.

    Args:
        config: the run.
        model: what it trains.
    """

    def __init__(self, config: RunConfig, model: Model) -> None:
        self.rows, self.lengths = config.trainer.rows, config.lengths
        self.of_a_row = [_mean_row(config, model, length) for length in self.lengths.values]
        """(tokens, operations) of one row of each length."""

    def until(self, steps: int) -> Cost:
        """The first so many steps."""
        tokens = flops = 0.0
        ends = (*self.lengths.begins[1:], steps)
        for begin, end, (of_tokens, of_flops) in zip(self.lengths.begins, ends, self.of_a_row, strict=True):
            if begin < steps:
                rows = self.rows.sum_before(min(end, steps)) - self.rows.sum_before(begin)
                tokens, flops = tokens + rows * of_tokens, flops + rows * of_flops
        return Cost(steps, tokens, flops)


def _mean_row(config: RunConfig, model: Model, length: int) -> tuple[float, float]:
    shapes = row_shapes(config, length)
    total = sum(shapes.values())
    tokens = sum(share * (shape.length + shape.decoder_length) for shape, share in shapes.items())
    return tokens / total, sum(share * training_flops(model, shape) for shape, share in shapes.items()) / total


def row_shapes(config: RunConfig, length: int | None = None) -> dict[RowShape, float]:
    """The sizes that rows of the run have, and how often each occurs, relative to the others.

    One where all objectives work on the same rows, one for each objective where they take rows in turn.

    Args:
        config: the run.
        length: of the rows; None: the full one.
    """
    length = length or config.model.max_length
    found: dict[RowShape, float] = {}
    together = RowShape(length, 0, 0.0)
    for objective in config.objectives.values():
        decoder, scored = objective.places(length)
        if objective.share is None:
            together = RowShape(length, max(decoder, together.decoder_length), together.scored + scored)
        else:
            shape = RowShape(length, decoder, scored)
            found[shape] = found.get(shape, 0.0) + objective.share
    return found or {together: 1.0}


def ranks(config: RunConfig) -> int:
    """How many devices share a step."""
    return config.trainer.devices * config.trainer.num_nodes


def load(config: RunConfig, microbatches: int, device: str) -> Load:
    """What one device works on in a step, at the most: where objectives take rows in turn, all rows of the largest.

    Args:
        config: the run.
        microbatches: that the device splits its share of a step into.
        device: type of the device, as torch names it.
    """
    return Load(
        rows=config.trainer.batch_size // (microbatches * ranks(config)),
        row=max(row_shapes(config), key=lambda shape: (shape.length + shape.decoder_length, shape.scored)),
        microbatches=microbatches,
        precision=config.trainer.precision,
        device=device,
        segments=any(objective.needs_sentences for objective in config.objectives.values()),
        recompute=config.trainer.recompute,
        ema=config.trainer.ema,
    )
