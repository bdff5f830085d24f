"""A validation: one number for each measure over the whole held-out split, with fixed noise.

Sums and counts are added over all rows and all ranks and divided once, so neither batch size nor ranks change a number.
What is measured is said in `zoo/training/measures.py`.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from zoo.checkpoint.disk import replace_file
from zoo.objectives.base import Objective, Scores
from zoo.objectives.mixture import MixedRows, Part, RowGroup
from zoo.training.datamodule import evaluation_parts
from zoo.training.measures import OF_TOKENS, text_measures
from zoo.training.module import TrainingModule

Reduce = Callable[[Tensor], Tensor]
BINS = 32
"""Of a curve of the loss by position, at most."""
FOLDER = "evaluation"
"""Of a run, with a file for each validation."""


class Bin(NamedTuple):
    """Some neighbouring positions of a curve.

    Attributes:
        start, stop: the positions, the second one not among them.
        loss: mean nats of the targets there. count: of them.
    """

    start: int
    stop: int
    loss: float
    count: int  # type: ignore[assignment]  # tuple.count is not missed


class Evaluation(NamedTuple):
    """What was measured.

    Attributes:
        means: by name, see `zoo.training.measures`.
        by_position: for each objective whose targets are tokens, the loss by the position of the target's place in its
            document of the row (encoder-decoders: of the decoder's row), which is how much of the document a causal
            model has seen before it; bins without a target are left out.
    """

    means: dict[str, float]
    by_position: dict[str, list[Bin]]


def evaluate(
    module: TrainingModule,
    rows: MixedRows,
    batch_size: int,
    *,
    precision: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext,
    reduce: Reduce = lambda sums: sums,
    rank: int = 0,
    num_ranks: int = 1,
    told: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Everything that is measured, over all rows.

    Args:
        module: model and objectives; put into evaluation for the while.
        rows: the held-out rows.
        batch_size: rows of a batch.
        precision: the context that forwards run in (autocast).
        reduce: adds a tensor up over ranks.
        rank, num_ranks: this process's share of the batches.
        told: hears how many rows of how many are measured.
    """
    sums = {name: _Sums(objective, rows.sources, module.device) for name, objective in module.objectives.items()}
    training = module.training
    done, total = 0, sum(group.num_rows for group in rows.groups)
    module.eval()
    with torch.no_grad(), precision():
        for group in rows.groups:
            for part in evaluation_parts(group, batch_size, rank, num_ranks):
                there = _to(part, module.device)
                for name, scores in module.evaluate_part(there).items():
                    sums[name].add(scores, there, name, group)
                if told is not None:
                    done += len(next(iter(part.batch.labels.values())))
                    told(done, total)
    module.train(training)
    flat = reduce(torch.cat([each.flat for each in sums.values()]))
    for each, total in zip(sums.values(), flat.split([len(each.flat) for each in sums.values()]), strict=True):
        each.flat.copy_(total)
    means: dict[str, float] = {"loss": 0.0}
    for name, each in sums.items():
        measures = each.means()
        means |= {f"{name}/{measure}": value for measure, value in measures.items()}
        means["loss"] += each.objective.config.weight * measures["loss"]
    return Evaluation(means, {name: each.curve() for name, each in sums.items() if each.width})


class _Sums:
    """The sums of one objective, side by side in one float64 vector, so that ranks add them up in one reduction.

    Args:
        objective: whose.
        sources: of a mixture, whose losses are told apart.
        device: where its scores are.

    Attributes:
        flat: the vector. width: positions of a bin; 0: the targets are no tokens.
    """

    def __init__(self, objective: Objective, sources: Sequence[str], device: torch.device) -> None:
        self.objective = objective
        self.sources = sources
        trials = set(objective.config.metrics.values()) - {"count"}
        self.names = ["loss", "count", *objective.config.metrics, *sorted(trials), "bytes"]
        self.names += [f"{what}/{source}" for source in sources for what in ("loss", "count")]
        self.length = objective.decoder_width or objective.setup.max_length
        of_tokens = objective.config.head == OF_TOKENS
        self.width = -(-self.length // BINS) if of_tokens else 0
        self.num_bins = -(-self.length // self.width) if of_tokens else 0
        self.flat = torch.zeros(len(self.names) + 2 * self.num_bins, device=device, dtype=torch.float64)
        self.scalars = self.flat[: len(self.names)]
        self.losses_by_bin, self.counts_by_bin = self.flat[len(self.names) :].view(2, self.num_bins)
        stands_for_text = torch.ones(objective.setup.tokenizer.vocab_size, dtype=torch.bool)
        special = set(objective.setup.tokenizer.special_ids.tolist())
        special -= {objective.setup.tokenizer.roles.get("unknown")}  # it stands for the text that it hides
        stands_for_text[sorted(special)] = False
        self.stands_for_text_V = stands_for_text.to(device)

    def add(self, scores: Scores, part: Part, name: str, group: RowGroup) -> None:
        """Adds the scores of a batch."""
        found = {"loss": scores.loss, "count": scores.count, **scores.metrics}
        if group.source in self.sources:
            found |= {f"loss/{group.source}": scores.loss, f"count/{group.source}": scores.count}
        if scores.each is not None:
            labels_N = part.batch.labels[name].flatten()[scores.each.places]
            found["bytes"] = self.stands_for_text_V[labels_N].sum().double() * group.bytes_per_token
            bins_N = _positions(part, name)[scores.each.places] // self.width
            self.losses_by_bin.index_add_(0, bins_N, scores.each.losses.double())
            self.counts_by_bin.index_add_(0, bins_N, torch.ones_like(bins_N, dtype=torch.float64))
        for number, key in enumerate(self.names):
            if key in found:
                self.scalars[number] += found[key]

    def means(self) -> dict[str, float]:
        """The measures of the objective."""
        sums = dict(zip(self.names, self.scalars.tolist(), strict=True))
        means = {"loss": sums["loss"] / max(sums["count"], 1.0)}
        for metric, trials in self.objective.config.metrics.items():
            means[metric] = sums[metric] / max(sums[trials], 1.0)
        if self.width:
            means |= text_measures(sums["loss"], sums["count"], sums["bytes"])
        for source in self.sources:
            means[f"loss/{source}"] = sums[f"loss/{source}"] / max(sums[f"count/{source}"], 1.0)
        return means

    def curve(self) -> list[Bin]:
        """The loss by position."""
        pairs = zip(self.losses_by_bin.tolist(), self.counts_by_bin.tolist(), strict=True)
        return [
            Bin(number * self.width, min((number + 1) * self.width, self.length), loss / count, int(count))
            for number, (loss, count) in enumerate(pairs)
            if count
        ]


def _positions(part: Part, name: str) -> Tensor:
    """(B·T,) the position of each place of the labels in its document of the row."""
    labels_BT, inputs = part.batch.labels[name], part.batch.inputs
    found = inputs.get("decoder_positions" if "decoder_tokens" in inputs else "positions")
    if found is None:  # 0 … T−1 in each row
        found = torch.arange(labels_BT.shape[1], device=labels_BT.device).expand_as(labels_BT)
    return found.flatten()


def write_evaluation(run: Path, step: int, evaluation: Evaluation) -> None:
    """Writes evaluation/step-N.json of a run.

    {"step": 200, "means": {"loss": …, …}, "by_position": {"lm": [{"start": 0, "stop": 4, "loss": …, "count": …}, …]}}
    """
    content = {
        "step": step,
        # JSON has no word for what is not finite
        "means": {name: value if math.isfinite(value) else None for name, value in evaluation.means.items()},
        "by_position": {name: [each._asdict() for each in bins] for name, bins in evaluation.by_position.items()},
    }
    replace_file(run / FOLDER / f"step-{step}.json", json.dumps(content, indent=1))


def forget_evaluations(run: Path, after_step: int) -> None:
    """Removes what a continued run will write again."""
    for path in (run / FOLDER).glob("step-*.json"):
        if int(path.stem.removeprefix("step-")) > after_step:
            path.unlink()


def _to(part: Part, device: torch.device) -> Part:
    batch = part.batch
    return part._replace(
        batch=batch._replace(
            inputs={name: tensor.to(device) for name, tensor in batch.inputs.items()},
            labels={name: tensor.to(device) for name, tensor in batch.labels.items()},
        )
    )
