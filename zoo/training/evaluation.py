"""A validation loss: one number over the whole held-out split, with fixed noise.

Sums and counts are added over all rows and all ranks and divided once, so neither batch size nor ranks change the
number.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from zoo.objectives.mixture import MixedRows, Part
from zoo.training.datamodule import evaluation_parts
from zoo.training.module import TrainingModule

Reduce = Callable[[Tensor], Tensor]


def evaluate(
    module: TrainingModule,
    rows: MixedRows,
    batch_size: int,
    *,
    precision: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext,
    reduce: Reduce = lambda sums: sums,
    rank: int = 0,
    num_ranks: int = 1,
) -> dict[str, float]:
    """Means over all rows: `loss`, and for each objective `<name>/loss`, `<name>/accuracy`, …

    Args:
        module: model and objectives; put into evaluation for the while.
        rows: the held-out rows.
        batch_size: rows of a batch.
        precision: the context that forwards run in (autocast).
        reduce: adds a tensor up over ranks.
        rank, num_ranks: this process's share of the batches.

    Returns:
        `loss` is the sum of the objectives' mean losses times their weights.
    """
    names = list(metric_names(module))
    sums = torch.zeros(len(names), device=module.device, dtype=torch.float64)
    index = {name: number for number, name in enumerate(names)}
    training = module.training
    module.eval()
    with torch.no_grad(), precision():
        for part in _parts(rows, batch_size, rank, num_ranks):
            for name, value in module.evaluate_part(_to(part, module.device)).items():
                sums[index[name]] += value
    module.train(training)
    totals = dict(zip(names, reduce(sums).tolist(), strict=True))
    return _means(module, totals)


def metric_names(module: TrainingModule) -> Iterator[str]:
    """The sums that evaluation adds up, in a fixed order."""
    for name, objective in module.objectives.items():
        yield from (f"{name}/{metric}" for metric in ("loss", "count", *objective.config.metrics))


def _means(module: TrainingModule, totals: dict[str, float]) -> dict[str, float]:
    means: dict[str, float] = {"loss": 0.0}
    for name, objective in module.objectives.items():
        count = max(totals[f"{name}/count"], 1.0)
        for metric in ("loss", *objective.config.metrics):
            means[f"{name}/{metric}"] = totals[f"{name}/{metric}"] / count
        means["loss"] += objective.config.weight * means[f"{name}/loss"]
    return means


def _parts(rows: MixedRows, batch_size: int, rank: int, num_ranks: int) -> Iterator[Part]:
    for group in rows.groups:
        yield from evaluation_parts(group, batch_size, rank, num_ranks)


def _to(part: Part, device: torch.device) -> Part:
    batch = part.batch
    return part._replace(
        batch=batch._replace(
            inputs={name: tensor.to(device) for name, tensor in batch.inputs.items()},
            labels={name: tensor.to(device) for name, tensor in batch.labels.items()},
        )
    )
