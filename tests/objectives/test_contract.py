"""What every objective must keep to, whichever it is: this file iterates over the registry and names none of them.

A new objective is under these tests as soon as `zoo/objectives/__init__.py` imports it.
"""

import dataclasses
import hashlib
import os
import subprocess
import sys
import types
import typing
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import zoo.objectives
from tests.data.synthetic import FAMILIES, SyntheticTokenizer, all_rows, random_documents
from tests.objectives.heads import PairHead, TokenHead
from zoo.batch import IGNORE_INDEX, Batch
from zoo.data.plan import Plan
from zoo.errors import ConfigError, DataError
from zoo.objectives.base import ObjectiveConfig, Setup
from zoo.objectives.mixture import MixedRows, Mixture

KINDS = sorted(ObjectiveConfig.choices)
MAX_LENGTH = 48
DOCUMENTS = random_documents(60, 40)
LEGAL_INPUTS = {
    "tokens",
    "documents",
    "positions",
    "segments",
    "decoder_tokens",
    "decoder_documents",
    "decoder_positions",
}
DEALT_WITH_IN_TRAINING = {"weight"}


def setup_for(kind: str, seed: int = 0) -> Setup:
    """The first family of special tokens that the objective can be built with."""
    for family in FAMILIES:
        setup = Setup(SyntheticTokenizer(family), MAX_LENGTH, seed)
        try:
            ObjectiveConfig.choice(kind)().build("objective", setup)
        except DataError:
            continue
        return setup
    raise AssertionError(f"no family of special tokens fits {kind}")


def rows_for(config: ObjectiveConfig, seed: int = 0) -> MixedRows:
    return Mixture({"objective": config}, setup_for(config.kind, seed)).over(DOCUMENTS)


def batch_of(rows: MixedRows, epochs: np.ndarray, samples: np.ndarray) -> Batch:
    (part,) = rows.collate(epochs, samples)
    return part.batch


def digest(batch: Batch) -> str:
    """One word for the whole content of a batch."""
    content = hashlib.sha256()
    for group in batch:
        for name, values in sorted(group.items()):
            content.update(f"{name}{tuple(values.shape)}".encode() + values.numpy().tobytes())
    return content.hexdigest()


def everything(kind: str, **fields: Any) -> str:
    """A digest of the first two epochs under these settings."""
    rows = rows_for(ObjectiveConfig.choice(kind)(**fields))
    return "".join(digest(batch_of(rows, *all_rows(rows.num_rows, epoch))) for epoch in (0, 1))


def full(batch: Batch) -> dict[str, torch.Tensor]:
    """The inputs with what lean batches leave out."""
    inputs = dict(batch.inputs)
    for side in ("", "decoder_"):
        if f"{side}tokens" in inputs:
            shape = inputs[f"{side}tokens"].shape
            inputs.setdefault(f"{side}documents", torch.zeros(shape, dtype=torch.int64))
            inputs.setdefault(f"{side}positions", torch.arange(shape[1]).expand(shape))
    return inputs


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_does_not_depend_on_its_batch(kind: str) -> None:
    rows = rows_for(ObjectiveConfig.choice(kind)())
    epochs, samples = Plan(rows.num_rows, 40, 3).step(2)
    whole = batch_of(rows, epochs, samples)
    order = np.random.default_rng(0).permutation(40)
    for part in (order[:1], order[1:4], order[4:20], order[20:]):
        batch = batch_of(rows, epochs[part], samples[part])
        for name, values in full(batch).items():
            assert torch.equal(values, full(whole)[name][part]), name
        assert torch.equal(batch.labels["objective"], whole.labels["objective"][part])


@pytest.mark.parametrize("kind", KINDS)
def test_seeds_and_epochs_change_the_batch(kind: str) -> None:
    rows, other = rows_for(ObjectiveConfig.choice(kind)()), rows_for(ObjectiveConfig.choice(kind)(), seed=1)
    numbers = np.arange(rows.num_rows)
    one, two = (digest(batch_of(rows, np.full_like(numbers, epoch), numbers)) for epoch in (1, 2))
    assert one != two
    assert one != digest(batch_of(other, np.full_like(numbers, 1), numbers))


def test_other_processes_make_the_same_batches() -> None:
    script = "from tests.objectives.test_contract import KINDS, everything\nfor kind in KINDS: print(everything(kind))"
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True, cwd=os.getcwd()
    )
    assert run.stdout.split() == [everything(kind) for kind in KINDS]


@pytest.mark.parametrize("kind", KINDS)
def test_inputs_and_labels_are_well_formed(kind: str) -> None:
    rows = rows_for(ObjectiveConfig.choice(kind)())
    batch = batch_of(rows, *all_rows(rows.num_rows))
    inputs, labels = full(batch), batch.labels["objective"]
    assert set(inputs) <= LEGAL_INPUTS
    vocab_size = setup_for(kind).tokenizer.vocab_size
    for name, values in [*inputs.items(), ("labels", labels)]:
        assert values.dtype == torch.int64, name
        assert values.shape[0] == rows.num_rows, name
    for side in ("", "decoder_"):
        if f"{side}tokens" not in inputs:
            continue
        tokens, documents, positions = (inputs[f"{side}{name}"] for name in ("tokens", "documents", "positions"))
        assert tokens.shape == documents.shape == positions.shape
        assert int(tokens.min()) >= 0
        assert int(tokens.max()) < vocab_size
        assert int(documents.min()) >= -1
        held = documents >= 0
        new = (documents[:, 1:] != documents[:, :-1]) & held[:, 1:]
        assert (documents[:, 0] == 0).all()
        assert (documents[:, 1:][new] == documents[:, :-1][new] + 1).all(), "counted 0, 1, …; padding at the end"
        assert (positions[:, 0] == 0).all()
        assert (positions[:, 1:][new] == 0).all(), "positions begin anew with each document"
        inside = held[:, 1:] & ~new
        assert (positions[:, 1:][inside] == positions[:, :-1][inside] + 1).all()
    scored_side = "decoder_documents" if "decoder_documents" in inputs else "documents"
    if labels.ndim == 2:
        assert labels.shape == inputs[scored_side].shape
        assert (labels[inputs[scored_side] < 0] == IGNORE_INDEX).all(), "padding is never scored"
        scored = labels[labels != IGNORE_INDEX]
        assert len(scored)
        assert int(scored.min()) >= 0
        assert int(scored.max()) < vocab_size
    if "segments" in inputs:
        assert set(inputs["segments"].unique().tolist()) <= {0, 1}


def alternatives(field: dataclasses.Field[Any], kind: Any) -> Iterator[Any]:
    """Other values of a field, from its type and range."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        for argument in arguments:
            if argument is not type(None):
                yield from alternatives(field, argument)
    elif origin is typing.Literal:
        yield from (value for value in arguments if value != field.default)
    elif kind is bool:
        yield not field.default
    elif kind is int:
        least = int(field.metadata["minimum"] or 1)
        yield from (least, least + 10, least + 100)
    elif kind is float:
        yield from (value for value in (0.0, 0.5, 1.0, 2.0, 0.05) if value != field.default)
    else:
        raise AssertionError(f"say here what else a {kind} may be")


FIELDS = [
    (kind, field)
    for kind in KINDS
    for field in dataclasses.fields(ObjectiveConfig.choice(kind))
    if field.name not in DEALT_WITH_IN_TRAINING
]


@pytest.mark.parametrize("kind, field", [pytest.param(*case, id=f"{case[0]}-{case[1].name}") for case in FIELDS])
def test_every_field_changes_the_batch_or_is_refused(kind: str, field: dataclasses.Field[Any]) -> None:
    before, changed, refused = everything(kind), 0, 0
    hints = typing.get_type_hints(ObjectiveConfig.choice(kind))
    values = list(alternatives(field, hints[field.name]))
    for value in values:
        try:
            changed += everything(kind, **{field.name: value}) != before
        except ConfigError as error:
            refused += field.name in str(error)
    assert changed + refused >= 1
    assert changed or refused == len(values), "a value that is let through does something"


@pytest.mark.parametrize("kind", KINDS)
def test_losses_are_sums_over_rows(kind: str) -> None:
    rows = rows_for(ObjectiveConfig.choice(kind)())
    objective = rows.groups[0].objectives[0]
    batch = batch_of(rows, np.zeros(8, np.int64), np.arange(8))
    labels = batch.labels["objective"]
    length = labels.shape[1] if labels.ndim == 2 else MAX_LENGTH
    hidden = torch.randn(8, length, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    vocab_size = setup_for(kind).tokenizer.vocab_size
    head = {"language_model": TokenHead(6, vocab_size), "next_sentence": PairHead(6)}[objective.config.head]
    whole = objective.loss(hidden, head.train(), labels)
    parts = [objective.loss(hidden[part], head, labels[part]) for part in (slice(0, 1), slice(1, 5), slice(5, 8))]
    torch.testing.assert_close(sum(part.loss for part in parts), whole.loss, rtol=1e-12, atol=0)
    assert sum(int(part.count) for part in parts) == int(whole.count) == int(objective.count(labels))
    assert whole.metrics == {}
    metrics = objective.loss(hidden, head.eval(), labels).metrics
    assert 0 <= int(metrics["accuracy"]) <= int(whole.count)


@pytest.mark.parametrize("kind", KINDS)
def test_what_it_declares(kind: str) -> None:
    config = ObjectiveConfig.choice(kind)
    assert config.families
    assert set(config.families) <= {"encoder", "decoder", "encoder_decoder"}
    assert config.head in {"language_model", "next_sentence"}
    assert config.__doc__
    assert all(field.metadata["doc"] for field in dataclasses.fields(config))
    assert getattr(zoo.objectives, config.__name__) is config


@pytest.mark.parametrize("kind", KINDS)
def test_a_corpus_shorter_than_one_row_is_refused(kind: str) -> None:
    short = random_documents(2, 8, sentence=2)
    with pytest.raises(DataError, match=r"the text has \d+ tokens but one row needs \d+: give more text"):
        Mixture({"objective": ObjectiveConfig.choice(kind)()}, setup_for(kind)).over(short)
