"""How likely a text is to a model, token by token.

decoder             log p(token | what stands before it)
encoder-decoder     the same of its decoder, which sees the encoded prompt
encoder             the pseudo-log-likelihood (Salazar et al. 2020, arXiv:1910.14659): each token in turn is masked
                    and named from all the others; not to be compared with the other two
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from zoo.errors import ConfigError, DataError, quoted
from zoo.generation.batching import batches_by_length
from zoo.generation.counts import of_each
from zoo.generation.evaluation_mode import EvaluationMode
from zoo.generation.finite import check_numbers
from zoo.generation.generate import log_probabilities
from zoo.generation.prompts import frame_of, framed, prompt_tokens
from zoo.generation.roles import TokenRoles
from zoo.generation.room import check_length, warn_past_length
from zoo.generation.running import language_model_head, padded
from zoo.models.base import Model
from zoo.models.encoder_decoder import EncoderDecoder
from zoo.tokenizer.spelling import bytes_before
from zoo.tokenizer.tokenizer import Tokenizer

LARGEST_EXPONENT = 709.0
"""e to more than this is no float any more."""
HEAD_ROWS = 512
"""Places that go through the head together: their logits are as wide as the vocabulary."""


class TextScore(NamedTuple):
    """How likely a text is.

    Attributes:
        text: what was scored.
        tokens: the ids that were scored.
        log_probabilities: of each of them, natural logarithm.
        num_bytes: of what the scored tokens spell, in UTF-8.
    """

    text: str
    tokens: list[int]
    log_probabilities: list[float]
    num_bytes: int

    @property
    def total(self) -> float:
        """The log-likelihood of the text: the sum over its tokens."""
        return math.fsum(self.log_probabilities)

    @property
    def mean(self) -> float:
        """The mean log-probability of a token; not a number where none was scored."""
        return self.total / len(self.tokens) if self.tokens else math.nan

    @property
    def perplexity(self) -> float:
        """e to the mean, negated: among how many equally likely tokens the model wavers."""
        return math.inf if -self.mean > LARGEST_EXPONENT else math.exp(-self.mean)

    @property
    def bits_per_byte(self) -> float:
        """The log-likelihood in bits, negated, for each byte: it compares models with different tokenizers."""
        return -self.total / math.log(2) / self.num_bytes if self.num_bytes else math.nan


class ScoreRow(NamedTuple):
    """One text to be scored.

    Attributes:
        tokens: what the model reads; of an encoder-decoder, its decoder.
        first, last: the tokens at the places first … last−1 are scored.
        prompt: what an encoder-decoder's encoder reads; else ().
    """

    tokens: list[int]
    first: int
    last: int
    prompt: tuple[int, ...] = ()


@torch.inference_mode()
def score_rows(model: Model, rows: Sequence[ScoreRow], roles: TokenRoles, mask: int | None = None) -> list[list[float]]:
    """The log-probabilities of the scored tokens of each row.

    Args:
        model: with a language model head.
        rows: a decoder's, or an encoder-decoder's decoder's, scores from its second token on at the earliest.
        roles: padding; ids from vocab_size on are no tokens, so they have no share of the probability.
        mask: of an encoder: what stands for a token that is to be named.

    Raises:
        DataError: a row is longer than the learned positions. ZooError: the model has no language model head, or its
            weights give no numbers.
    """
    head = language_model_head(model)
    of_each(rows, lambda row: _check_room(model, row, mask))
    found: list[list[float]] = [[0.0] * (row.last - row.first) for row in rows]
    for batch in _batches(rows, mask):
        targets_N = torch.tensor([target for number, place in batch for target in _targets(rows[number], place)])
        with EvaluationMode(model):
            hidden_ND = torch.cat(_hidden(model, rows, batch, roles.padding, mask))
            values = _log_probabilities(head, hidden_ND, targets_N.to(hidden_ND.device), roles.vocab_size)
        for number, place in batch:
            count = rows[number].last - rows[number].first if place is None else 1
            start = 0 if place is None else place - rows[number].first
            found[number][start : start + count], values = values[:count], values[count:]
    return found


def _check_room(model: Model, row: ScoreRow, mask: int | None) -> None:
    """Raises LengthError where a row is longer than the learned positions; warns past what others were made for."""
    backbone, read = model.backbone, len(row.tokens) - (mask is None)  # the last one is named and not read
    check_length(len(row.prompt), backbone.reading_stack.positions.num_positions)
    check_length(read, backbone.writing_stack.positions.num_positions)
    if not backbone.writes_apart:
        warn_past_length(backbone.writing_stack, read)


Part = tuple[int, int | None]
"""A row by its number, and the only place of it that is scored, which is masked; None: all of its places."""


def _batches(rows: Sequence[ScoreRow], mask: int | None) -> list[list[Part]]:
    parts: list[Part] = [(number, None) for number, row in enumerate(rows) if row.last > row.first]
    if mask is not None:
        parts = [(number, place) for number, row in enumerate(rows) for place in range(row.first, row.last)]
    lengths = [max(len(rows[number].tokens), len(rows[number].prompt)) for number, _ in parts]
    return [[parts[index] for index in batch] for batch in batches_by_length(lengths)]


def _targets(row: ScoreRow, place: int | None) -> list[int]:
    return row.tokens[row.first : row.last] if place is None else [row.tokens[place]]


def _hidden(model: Model, rows: Sequence[ScoreRow], batch: list[Part], padding: int, mask: int | None) -> list[Tensor]:
    """For each part the hidden states (n, D) from which its scored tokens are to be named."""
    backbone = model.backbone
    device = backbone.tokens.weight.device
    if mask is not None:
        places = [place for _, place in batch if place is not None]
        masked = [list(rows[number].tokens) for number, _ in batch]
        for tokens, place in zip(masked, places, strict=True):
            tokens[place] = mask
        hidden_BTD = backbone(*padded(masked, padding, device, left=False))
        return [hidden[place : place + 1] for hidden, place in zip(hidden_BTD, places, strict=True)]
    chosen = [rows[number] for number, _ in batch]
    inputs = padded([row.tokens[:-1] for row in chosen], padding, device, left=False)
    if isinstance(backbone, EncoderDecoder):
        memory = backbone.encode(*padded([row.prompt for row in chosen], padding, device, left=False))
        hidden_BTD = backbone.decode(inputs.tokens_BT, memory, inputs.positions_BT, inputs.documents_BT)
    else:
        hidden_BTD = backbone(*inputs)
    return [hidden[row.first - 1 : row.last - 1] for hidden, row in zip(hidden_BTD, chosen, strict=True)]


def _log_probabilities(head: torch.nn.Module, hidden_ND: Tensor, targets_N: Tensor, vocab_size: int) -> list[float]:
    values: list[float] = []
    for hidden, targets in zip(hidden_ND.split(HEAD_ROWS), targets_N.split(HEAD_ROWS), strict=True):
        logits = head(hidden)[:, :vocab_size]
        check_numbers(logits, "logits")
        values += log_probabilities(logits, targets).tolist()
    return values


class TextRow(NamedTuple):
    """A text that is to be scored.

    Attributes:
        text: the part of it that is scored, as it was given.
        num_bytes: of the scored tokens: of `text`, without a first token that is not scored, and with what a token that
            reaches into a continuation has of the text before.
        row: as tokens.
    """

    text: str
    num_bytes: int
    row: ScoreRow


def scored_row(kind: str, tokenizer: Tokenizer, text: str, continuation: str | None) -> TextRow:
    """What is scored of a text, or of its continuation; see `Pretrained.score`.

    Raises:
        DataError: what is to be scored is empty. ConfigError: an encoder-decoder has no continuation.
    """
    scored = text if continuation is None else continuation
    if kind == "encoder_decoder":
        tokens = _tokens(tokenizer.for_targets, scored)
        if continuation is None:
            raise ConfigError(
                "is missing: an encoder-decoder scores it behind the text that it reads; give both", "continuation"
            )
        _check_text(tokens, scored)
        output = [*tokens, tokenizer.role("end")]
        prompt = tuple(prompt_tokens(kind, tokenizer, text))
        return TextRow(scored, len(scored.encode()), ScoreRow(output, 0, len(output), prompt))
    whole_text, given = text + (continuation or ""), 0
    tokens = _tokens(tokenizer, whole_text)
    if continuation is not None:  # a token that reaches into the continuation belongs to it
        alone = _tokens(tokenizer, text)
        given = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(alone, tokens, strict=False)))
        if kind == "decoder" and given == 0 and not frame_of(kind, tokenizer, tokens).before:
            # It would be a decoder's first token, which is not scored, so the two are split at their seam after all.
            apart = [*alone, *_tokens(tokenizer, continuation)]
            if alone and tokenizer.decode(apart) == tokenizer.decode(tokens):
                return TextRow(scored, len(scored.encode()), ScoreRow(apart, len(alone), len(apart)))
    _check_text(tokens[given:], scored)
    whole = framed(kind, tokenizer, tokens)
    front = len(whole) - len(tokens) - len(frame_of(kind, tokenizer, tokens).after)
    if kind == "decoder" and front + given == 0:
        given = 1
        if len(tokens) == 1:
            warnings.warn(
                f"{quoted(scored)} is one token, so nothing of it is scored: a decoder's first token stands behind "
                "none, where its tokenizer puts none before a text",
                stacklevel=5,
            )
    before = bytes_before(tokenizer, whole_text, given, len(whole_text) - len(scored))
    return TextRow(scored, len(whole_text.encode()) - before, ScoreRow(whole, front + given, front + len(tokens)))


def score_texts(
    model: Model, tokenizer: Tokenizer, roles: TokenRoles, texts: Sequence[TextRow], prefix: tuple[int, ...] = ()
) -> list[TextScore]:
    """The score of each text; `prefix` stands before each output of an encoder-decoder; errors as in `score_rows`."""
    rows = [text.row for text in texts]
    mask = tokenizer.role("mask") if model.config.kind == "encoder" else None
    if model.config.kind == "encoder_decoder":
        front = [roles.padding if roles.start is None else roles.start, *prefix]
        rows = [ScoreRow([*front, *row.tokens], len(front), len(front) + row.last, row.prompt) for row in rows]
    found = score_rows(model, rows, roles, mask)
    return [
        TextScore(
            text.text,
            row.tokens[row.first : row.last],
            values,
            text.num_bytes,
        )
        for text, row, values in zip(texts, rows, found, strict=True)
    ]


def _tokens(tokenizer: Tokenizer, text: str) -> list[int]:
    tokens: list[int] = tokenizer.prompt(text).tolist()
    return tokens


def _check_text(tokens: Sequence[int], text: str) -> None:
    if not tokens:
        raise DataError(f"{text!r} has no tokens, so there is nothing to score")
