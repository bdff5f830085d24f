"""Steps as a function of their number: whoever asks, in whichever process, gets the same batch."""

import pickle
import random
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.training.tiny import KINDS, tiny_run
from zoo.batch import PADDING_DOCUMENT, Batch
from zoo.data.plan import Plan
from zoo.errors import ConfigError
from zoo.training.datamodule import DataModule, Step, StepDataset, StepSampler, count_tokens, evaluation_parts
from zoo.training.run import Prepared, prepare

T = TypeVar("T")


@pytest.fixture
def prepared(tmp_path: Path) -> Prepared:
    return prepare(tiny_run(tmp_path, "bert"), progress=False)


def data_module(prepared: Prepared, workers: int = 0, start: int = 0, rank: int = 0, ranks: int = 1) -> DataModule:
    plan = Plan(prepared.training.num_rows, 8, seed=3)
    data = DataModule(prepared.training, plan, accumulate=2, max_steps=5, num_workers=workers)
    strategy = SimpleNamespace(root_device=torch.device("cpu"))
    trainer: Any = SimpleNamespace(global_step=start, global_rank=rank, world_size=ranks, strategy=strategy)
    data.trainer = trainer
    return data


def flat(step: Step) -> list[Tensor]:
    batches = [part.batch for parts in step.microbatches for part in parts]
    return [tensor for batch in batches for tensors in batch for tensor in tensors.values()]


def first(steps: Iterable[T]) -> list[T]:
    """The first hundred; a list by itself would make room for as many as they say they are."""
    return list(islice(steps, 100))


def equal(one: Step, other: Step) -> bool:
    return one.num_tokens == other.num_tokens and all(map(torch.equal, flat(one), flat(other)))


def test_workers_change_nothing(prepared: Prepared) -> None:
    alone = first(data_module(prepared).train_dataloader())
    helped = first(data_module(prepared, workers=2).train_dataloader())
    assert len(alone) == len(helped) == 5
    assert all(map(equal, alone, helped))
    assert not equal(alone[0], alone[1])


def test_continued_run_asks_from_where_it_stands(prepared: Prepared) -> None:
    whole = first(data_module(prepared).train_dataloader())
    rest = first(data_module(prepared, start=3).train_dataloader())
    assert len(rest) == 2
    assert all(map(equal, whole[3:], rest))


@pytest.mark.parametrize("kind", KINDS)
def test_ranks_share_out_the_step(kind: str, tmp_path: Path) -> None:
    """Two ranks with one microbatch each work on what one rank works on in two."""
    prepared = prepare(tiny_run(tmp_path, kind), progress=False)
    plan = data_module(prepared).plan
    together = StepDataset(prepared.training, plan, 2, rank=0, num_ranks=1)[4]
    ranks = [StepDataset(prepared.training, plan, 1, rank=rank, num_ranks=2)[4] for rank in (0, 1)]
    assert sum(step.num_tokens for step in ranks) == together.num_tokens
    assert all(map(torch.equal, flat(together), [tensor for step in ranks for tensor in flat(step)]))


@pytest.mark.parametrize("kind", KINDS)
def test_epoch_has_each_row_once(kind: str, tmp_path: Path) -> None:
    prepared = prepare(tiny_run(tmp_path, kind), progress=False)
    plan = data_module(prepared).plan
    draws = [plan.step(step) for step in range(-(-2 * plan.num_rows // 8))]
    numbers = [pair for draw in draws for pair in zip(draw.epochs.tolist(), draw.samples.tolist(), strict=True)]
    expected = {(epoch, sample) for epoch in (0, 1) for sample in range(plan.num_rows)}
    assert set(numbers[: 2 * plan.num_rows]) == expected
    assert len(set(numbers)) == len(numbers)


def test_batch_that_cannot_be_shared_out_is_refused(prepared: Prepared) -> None:
    with pytest.raises(ConfigError, match=r"trainer.batch_size: 8 rows .* 3 ranks"):
        data_module(prepared, ranks=3).train_dataloader()


def test_loader_draws_nothing_from_the_global_streams(prepared: Prepared) -> None:
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[union-attr, index]  # noqa: NPY002
    for workers in (0, 1):
        first(data_module(prepared, workers=workers).train_dataloader())
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert np.random.get_state()[1].tolist() == before[2]  # type: ignore[union-attr, index]  # noqa: NPY002


@pytest.mark.parametrize("kind", KINDS)
def test_data_set_travels_to_workers_that_are_not_forked(kind: str, tmp_path: Path) -> None:
    """As on macOS. The token store travels as its path, not as its content."""
    prepared = prepare(tiny_run(tmp_path, kind), progress=False)
    dataset = StepDataset(prepared.training, data_module(prepared).plan, 2, rank=0, num_ranks=1)
    luggage = pickle.dumps(dataset)
    assert equal(pickle.loads(luggage)[1], dataset[1])
    assert len(luggage) < 200_000


def test_sampler_gives_what_is_left(prepared: Prepared) -> None:
    data = data_module(prepared, start=2)
    assert first(StepSampler(data, 5)) == [2, 3, 4]
    assert first(StepSampler(data, None)) == list(range(2, 102))
    assert len(StepSampler(data, 5)) == len(StepSampler(data, None)) > 10**15  # no step is the last of an epoch


@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 4, 7, 1000])
def test_evaluation_goes_over_each_row_once(size: int, ranks: int, prepared: Prepared) -> None:
    assert prepared.validation is not None
    (group,) = prepared.validation.groups
    whole = next(evaluation_parts(group, group.num_rows)).batch.labels["next_sentence"]
    found: dict[int, Any] = {}
    for rank in range(ranks):
        labels = [part.batch.labels["next_sentence"] for part in evaluation_parts(group, size, rank, ranks)]
        found.update({rank + ranks * index: each for index, each in enumerate(labels)})
    assert torch.equal(torch.cat([found[index] for index in sorted(found)]), whole)


def test_tokens_are_counted_without_padding_and_on_both_sides() -> None:
    tokens = torch.ones(2, 3, dtype=torch.int64)
    documents = torch.tensor([[0, 0, PADDING_DOCUMENT], [0, 1, 1]])
    assert count_tokens(Batch({"tokens": tokens}, {})) == 6
    assert count_tokens(Batch({"tokens": tokens, "documents": documents}, {})) == 5
    both = {"tokens": tokens, "documents": documents, "decoder_tokens": tokens, "decoder_documents": documents}
    assert count_tokens(Batch(both, {})) == 10
    assert count_tokens(Batch({**both, "decoder_documents": torch.zeros(2, 3)}, {})) == 11
