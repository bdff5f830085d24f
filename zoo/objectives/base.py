"""What an objective is: noise on text and a loss on hidden states, the two halves of one idea in one file.

The text half turns documents into rows and rows into model inputs and labels, in numpy. The tensor half turns hidden
states and labels into a summed loss and the number of its targets; the mean is taken by whoever knows the targets of
the whole optimizer step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.batch import IGNORE_INDEX
from zoo.config import Config, setting
from zoo.data.rows import Integers, RowMaker, Rows
from zoo.data.split import Documents
from zoo.errors import ConfigError
from zoo.nn.loss import token_loss, token_scores
from zoo.registry import Choice
from zoo.tokenizer.tokenizer import Tokenizer


class Setup(NamedTuple):
    """What all objectives of a run share.

    Attributes:
        tokenizer: gives the special tokens and the size of the vocabulary.
        max_length: most tokens of a row.
        seed: of all noise. Evaluation that is to be compared over seeds takes a fixed one.
    """

    tokenizer: Tokenizer
    max_length: int
    seed: int


class Noised(NamedTuple):
    """What noise makes of rows.

    Attributes:
        inputs: the model inputs that the noise makes or changes, by name, each (B, T) int64; the others stay as in the
            rows.
        labels: int64, IGNORE_INDEX where nothing is scored.
    """

    inputs: dict[str, Integers]
    labels: Integers


class Each(NamedTuple):
    """The scored tokens of a batch, each by itself.

    Attributes:
        places: (N,) int64, the place of each in the flat labels (B·T).
        losses: (N,) nats. correct: (N,) bool.
    """

    places: Tensor
    losses: Tensor
    correct: Tensor


class Scores(NamedTuple):
    """What a loss hands back; all are sums over targets, so that they add up over microbatches and ranks.

    Attributes:
        loss: scalar, with gradient.
        count: scalar int64, number of targets.
        metrics: by name, scalars; {"accuracy": number of correct predictions} in evaluation, empty in training.
        each: in evaluation, where the targets are tokens: what the sums are made of; else None.
    """

    loss: Tensor
    count: Tensor  # type: ignore[assignment]  # a sum beside a sum; tuple.count is not missed
    metrics: dict[str, Tensor]
    each: Each | None = None


class Places(NamedTuple):
    """What becomes of one row, as far as the settings tell it, without tokenizer or text.

    Attributes:
        decoder: places of a decoder's row, 0 where there is none.
        scored: places that go through the output layer over the vocabulary.
    """

    decoder: int
    scored: float


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig(Config, Choice, noun="objective"):
    """What a run trains on."""

    weight: float = setting(1.0, "factor of this objective's mean loss in the sum over objectives", above=0)
    share: float | None = setting(
        None,
        "how often a row is given to this objective, relative to the shares of the others; null: it works on the same "
        "rows as the others; either all objectives of a run have a share or none",
        above=0,
    )

    families: ClassVar[tuple[str, ...]]
    """The families of models that it fits, among "encoder", "decoder", "encoder_decoder"."""
    head: ClassVar[str] = "language_model"
    """The head that it trains."""
    needs_own_rows: ClassVar[bool] = False
    """Whether it works on the rows of its own row maker only."""
    needs_sentences: ClassVar[bool] = False
    """Whether its rows are made of sentences, so that the token store must know where they start."""
    least_segments: ClassVar[int] = 0
    """How many segment embeddings its rows need of the model."""
    least_length: ClassVar[tuple[int, str]] = (1, "")
    """Tokens of a row that it needs at least with any tokenizer, and for what."""
    metrics: ClassVar[dict[str, str]] = {"accuracy": "count"}
    """What evaluation measures beside the loss, the more the better: name in `Scores.metrics` of a number of successes
    → name, there too, of the number of trials; "count": the targets."""
    rewrites_tokens: ClassVar[bool] = False
    """Whether its noise changes the input tokens."""

    def build(self, name: str, setup: Setup) -> Objective:
        """The objective, called `name` in the run; raises ConfigError or DataError where the setup does not fit."""
        raise NotImplementedError

    def places(self, max_length: int) -> Places:
        """What a full row of `max_length` amounts to: what a run costs is told by it before it begins."""
        return Places(0, float(max_length))

    def check_length(self, max_length: int) -> None:
        """Raises ConfigError where rows of `max_length` tokens are too short with any tokenizer."""
        least, why = self.least_length
        if max_length < least:
            raise ConfigError(
                f"{max_length} is too short for {self.kind}: it needs {least} at least ({why})", "model.max_length"
            )

    def check_beside(self, name: str, other_name: str, other: ObjectiveConfig) -> None:
        """Raises ConfigError where this config, `name`, cannot work on the rows that `other` needs for itself."""


class Objective:
    """Noise and loss.

    Args:
        name: what the run calls it; also the name of its noise.
        config: its settings.
        setup: what all objectives of the run share.

    Attributes:
        decoder_width: places of a decoder's row; 0: the objective makes none.
    """

    decoder_width: int = 0

    def __init__(self, name: str, config: ObjectiveConfig, setup: Setup) -> None:
        self.name = name
        self.config = config
        self.setup = setup

    def row_maker(self, documents: Documents) -> RowMaker:
        """Rows of these documents as the objective wants them; raises DataError where they do not fit."""
        raise NotImplementedError

    def noise(self, rows: Rows) -> Noised:
        """Inputs and labels, a function of each row alone."""
        raise NotImplementedError

    def count(self, labels: Tensor) -> Tensor:
        """Number of targets, a scalar."""
        return (labels != IGNORE_INDEX).sum()

    def loss(self, hidden_BTD: Tensor, head: Any, labels: Tensor) -> Scores:
        """Summed loss of the targets.

        Args:
            hidden_BTD: (B, T, D) hidden states of the backbone (of the decoder, where there are two stacks).
            head: the head that `config.head` names.
            labels: what `noise` made for these rows.
        """
        raise NotImplementedError


def score_tokens(hidden_BTD: Tensor, head: Any, labels_BT: Tensor) -> Scores:
    """Cross entropy over the vocabulary, summed over the labels that are not IGNORE_INDEX; only those are projected."""
    labels_flat = labels_BT.flatten()
    scored_N = (labels_flat != IGNORE_INDEX).nonzero()[:, 0]
    labels_N, hidden_ND = labels_flat[scored_N], hidden_BTD.flatten(0, 1)[scored_N]
    count = (labels_BT != IGNORE_INDEX).sum()
    if head.training:
        return Scores(token_loss(head, hidden_ND, labels_N), count, {})
    each = Each(scored_N, *token_scores(head, hidden_ND, labels_N))
    loss = token_loss(head, hidden_ND, labels_N) if torch.is_grad_enabled() else each.losses.sum()
    return Scores(loss, count, {"accuracy": each.correct.sum()}, each)


def special_table(tokenizer: Tokenizer) -> NDArray[np.bool_]:
    """(V,) bool, True for special tokens."""
    table = np.zeros(tokenizer.vocab_size, bool)
    table[tokenizer.special_ids] = True
    return table
