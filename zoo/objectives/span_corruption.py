"""Span corruption: spans of the text are replaced by sentinels, the decoder writes them out.

Raffel et al. 2020, arXiv:1910.10683, section 3.1.4, and the sampler `random_spans_noise_mask` of its released code, for
each piece of text: of n tokens round(n · density) are noise, in round(noise / mean length) spans; noise and the rest
are each divided into that many positive lengths, every division equally likely; they alternate, the rest first. In the
encoder's input each span becomes one sentinel, <extra_id_0>, <extra_id_1>, …; the target is each sentinel followed by
its span; both end with </s>. The decoder's input is the target, shifted by one place, with the padding token in front.

Deviations: pieces do not reach over the end of a document (T5's do), each packed piece has sentinels of its own and
sees itself only, rounding is done in float64, and where noise is so dense that there are fewer other tokens than spans,
there are fewer spans.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.batch import IGNORE_INDEX, PADDING_DOCUMENT
from zoo.config import setting
from zoo.data.counter import choose
from zoo.data.framing import Frame
from zoo.data.packing import DocumentRows, Fit
from zoo.data.rows import Integers, RowMaker, Rows
from zoo.data.split import Documents
from zoo.errors import ConfigError, DataError
from zoo.objectives.base import Noised, Objective, ObjectiveConfig, Places, Scores, Setup, score_tokens

SHORTEST = 2
"""Tokens of the shortest piece: one that stays and one that is noise."""


@dataclass(frozen=True, kw_only=True)
class SpanCorruptionConfig(ObjectiveConfig, kind="span_corruption"):
    """Span corruption."""

    families: ClassVar[tuple[str, ...]] = ("encoder_decoder",)
    needs_own_rows: ClassVar[bool] = True
    least_length: ClassVar[tuple[int, str]] = (5, "pieces of two tokens or three")
    rewrites_tokens: ClassVar[bool] = True
    metrics: ClassVar[dict[str, str]] = {"accuracy": "count", "exact_match": "spans"}

    density: float = setting(0.15, "share of the tokens that are noise", above=0, below=1)
    mean_span_length: float = setting(3.0, "mean length of a span, in tokens", minimum=1)
    target_length: int | None = setting(
        None, "tokens of a decoder row; null: what the longest piece that fits the encoder needs", minimum=3
    )
    packing: Literal["documents", "none"] = setting(
        "documents", "documents: short pieces share a row; none: one piece a row"
    )

    def places(self, max_length: int) -> Places:
        """All of the decoder's row is scored."""
        width = self.target_length or derived_target(self, max_length).decoder_places
        return Places(width, float(width))

    def build(self, name: str, setup: Setup) -> Objective:
        """The objective.

        Raises:
            DataError: the tokenizer has no sentinels.
            ConfigError: a row can need more sentinels than there are, or does not hold the shortest piece.
        """
        return SpanCorruption(name, self, setup)


class Spans(NamedTuple):
    """How much of a piece is noise; all (n,) int64, for pieces of n tokens."""

    noise: Integers
    spans: Integers
    encoder: Integers
    """Tokens of the encoder's input: what stays, the sentinels, </s>."""
    decoder: Integers
    """Tokens of the target: the noise, the sentinels, </s>."""


def count_spans(lengths: Integers, density: float, mean_span_length: float) -> Spans:
    """What pieces of these lengths (2 or more) amount to; a function of the length alone."""
    noise = np.clip(np.rint(lengths * density).astype(np.int64), 1, np.maximum(lengths - 1, 1))
    spans = np.maximum(1, np.rint(noise / mean_span_length).astype(np.int64))
    spans = np.minimum(spans, np.maximum(lengths - noise, 1))
    return Spans(noise, spans, lengths - noise + spans + 1, noise + spans + 1)


class Derived(NamedTuple):
    """The longest piece that fits an encoder's row, in tokens, and the places that its target takes."""

    longest: int
    decoder_places: int


def derived_target(config: SpanCorruptionConfig, encoder_width: int) -> Derived:
    """What `target_length: null` comes to."""

    def count(lengths: Integers) -> Spans:
        return count_spans(lengths, config.density, config.mean_span_length)

    longest = Fit(encoder_width, lambda lengths: count(lengths).encoder).longest
    return Derived(longest, int(count(np.asarray([longest])).decoder[0]))


class SpanCorruption(Objective):
    """T5's denoising on packed pieces of text."""

    config: SpanCorruptionConfig

    def __init__(self, name: str, config: SpanCorruptionConfig, setup: Setup) -> None:
        super().__init__(name, config, setup)
        tokenizer = setup.tokenizer
        if not tokenizer.sentinels:
            raise DataError(
                "span corruption needs sentinel tokens (<extra_id_0>, …), but the tokenizer has none; "
                "train one with special_tokens: t5"
            )
        self.sentinels = np.asarray(tokenizer.sentinels, np.int64)
        self.end = tokenizer.role("end")
        self.padding = tokenizer.role("padding")
        config.check_length(setup.max_length)
        self.encoder_width = setup.max_length
        only_encoder, derived = derived_target(config, self.encoder_width)
        self.decoder_width = config.target_length or derived
        # A piece takes the larger of its shares of the two rows: whole numbers in units of one over both widths.
        self.fit = Fit(self.encoder_width * self.decoder_width, self._slots, shortest=SHORTEST)
        self._check_room(only_encoder, derived)

    def row_maker(self, documents: Documents) -> RowMaker:
        """Pieces of plain text; a row holds as many as fit into one encoder row and one decoder row."""
        frame = Frame((), (), self.padding)
        return DocumentRows(documents, frame, None, self.fit, pack=self.config.packing == "documents")

    def noise(self, rows: Rows) -> Noised:
        """All inputs of encoder and decoder, (B, encoder_width) and (B, decoder_width), and the targets as labels."""
        return _Corruption(self, rows).noised()

    def loss(self, hidden_BTD: Tensor, head: Any, labels: Tensor) -> Scores:
        """Cross entropy of the target, </s> included; in evaluation also how many spans are right as a whole."""
        scores = score_tokens(hidden_BTD, head, labels)
        if scores.each is None:
            return scores
        spans = match_spans(labels.flatten()[scores.each.places], scores.each.correct, self.sentinels, self.end)
        return scores._replace(metrics={**scores.metrics, **spans})

    def _count(self, lengths: Integers) -> Spans:
        return count_spans(lengths, self.config.density, self.config.mean_span_length)

    def _slots(self, lengths: Integers) -> Integers:
        counted = self._count(lengths)
        return np.maximum(counted.encoder * self.decoder_width, counted.decoder * self.encoder_width)

    def _check_room(self, only_encoder: int, derived: int) -> None:
        longest, available = self.fit.longest, len(self.sentinels)
        if longest < 2 * SHORTEST - 1:
            raise ConfigError(
                f"{self.decoder_width} is too short: pieces of {only_encoder} tokens, which fill max_length "
                f"{self.encoder_width}, need {derived}",
                "target_length",
            )
        needed = int(self._count(np.asarray([longest])).spans[0])
        if needed > available:
            raise ConfigError(
                f"a piece of {longest} tokens has {needed} spans (density {self.config.density}, mean_span_length "
                f"{self.config.mean_span_length}, max_length {self.encoder_width}) but the tokenizer has {available} "
                "sentinels: raise mean_span_length, or lower density or max_length",
                "mean_span_length",
            )


def match_spans(targets_N: Tensor, correct_N: Tensor, sentinels: Integers, end: int) -> dict[str, Tensor]:
    """How many spans there are, and how many are right as a whole.

    The decoder is given the true tokens before each token (teacher forcing), as in training. A span is right where each
    of its tokens is, and the sentinel or </s> behind it too, which says that it ends there.

    Args:
        targets_N: (N,) the targets of whole pieces, one after another: sentinel, span, sentinel, span, …, </s>.
        correct_N: (N,) bool, which of them are predicted.
        sentinels, end: ids.

    Returns:
        Scalars, "spans" and "exact_match".
    """
    is_sentinel_N = torch.isin(targets_N, torch.as_tensor(sentinels, device=targets_N.device))
    follows_end_N = torch.cat([targets_N.new_ones(1, dtype=torch.bool), targets_N[:-1] == end])[: len(targets_N)]
    # A target belongs to the span that the last sentinel before it has opened; the first of a piece to none.
    span_N = is_sentinel_N.cumsum(0) - is_sentinel_N.long() - 1
    wrong_N = ~correct_N & ~follows_end_N
    spans = is_sentinel_N.sum()
    missed = span_N[wrong_N].unique().numel()
    return {"spans": spans, "exact_match": spans - missed}


class _Corruption:
    """One batch under corruption, all its pieces (Q) and spans (L) at once.

    Tokens that hold text, from all rows, are one flat array; every step is an index into it or into flat outputs.
    """

    def __init__(self, objective: SpanCorruption, rows: Rows) -> None:
        self.objective = objective
        self.num_rows, width = rows.tokens.shape
        holds_text = rows.documents >= 0
        self.text = rows.tokens[holds_text]
        pieces_BW = rows.documents + width * np.arange(self.num_rows)[:, None]
        sizes = np.bincount(pieces_BW[holds_text], minlength=self.num_rows * width)
        piece_Q = np.flatnonzero(sizes)
        self.row_Q, self.document_Q = np.divmod(piece_Q, width)
        self.length_Q = sizes[piece_Q]
        self.counted = objective._count(self.length_Q)
        self.kept_L, self.noise_L = self._segments(rows, holds_text)

    def _segments(self, rows: Rows, holds_text: np.ndarray) -> tuple[Integers, Integers]:
        """Lengths of the alternating segments: what is kept before each span, and each span."""
        # A piece of n tokens lends its n places: the first `noise` of them stand for its noise tokens, the others for
        # those that are kept. A random subset of the places (never the first of each kind) begins a new segment.
        noise_Q, spans_Q = self.counted.noise, self.counted.spans
        begin_Q = np.cumsum(self.length_Q) - self.length_Q
        place = np.arange(len(self.text)) - np.repeat(begin_Q, self.length_Q)
        kind = (place >= np.repeat(noise_Q, self.length_Q)).astype(np.int64)
        group = 2 * np.repeat(self.document_Q, self.length_Q) + kind
        opens = np.zeros(len(self.text), bool)
        opens[begin_Q] = opens[begin_Q + noise_Q] = True
        group[opens] = -1
        groups_BW = np.full(rows.tokens.shape, -1)
        groups_BW[holds_text] = group
        counts_BG = np.zeros((self.num_rows, 2 * (int(self.document_Q.max()) + 1)), np.int64)
        counts_BG[self.row_Q, 2 * self.document_Q] = spans_Q - 1
        counts_BG[self.row_Q, 2 * self.document_Q + 1] = spans_Q - 1
        stream = f"{self.objective.name}/spans"
        chosen_BW = choose(self.objective.setup.seed, stream, rows.epochs, rows.samples, groups_BW, counts_BG)
        opens |= chosen_BW[holds_text]

        lengths = np.diff(np.append(np.flatnonzero(opens), len(self.text)))  # per piece: its spans, then what is kept
        first_Q = np.cumsum(spans_Q) - spans_Q
        index_L = np.arange(int(spans_Q.sum())) + np.repeat(first_Q, spans_Q)
        return lengths[index_L + np.repeat(spans_Q, spans_Q)], lengths[index_L]

    def noised(self) -> Noised:
        """Both sides, laid into rows."""
        spans_Q, objective = self.counted.spans, self.objective
        first_Q = np.cumsum(spans_Q) - spans_Q
        sentinels_L = objective.sentinels[np.arange(len(self.noise_L)) - np.repeat(first_Q, spans_Q)]
        is_last_L = np.zeros(len(self.noise_L), np.int64)
        is_last_L[first_Q + spans_Q - 1] = 1
        kept_start_L = np.cumsum(self.kept_L + self.noise_L) - self.kept_L - self.noise_L
        # Encoder: kept tokens, sentinel[, end]. Target: sentinel, noise tokens[, end].
        encoder = self._joined(kept_start_L, self.kept_L, self.kept_L, sentinels_L, is_last_L)
        target = self._joined(
            kept_start_L + self.kept_L - 1, self.noise_L, np.zeros_like(self.noise_L), sentinels_L, is_last_L
        )
        begin_Q = np.cumsum(self.counted.decoder) - self.counted.decoder
        decoder = np.roll(target, 1)
        decoder[begin_Q] = objective.padding

        place, documents, positions = self._places(self.counted.encoder, objective.encoder_width)
        inputs = {
            "tokens": self._laid(encoder, place, objective.encoder_width, objective.padding),
            "documents": self._laid(documents, place, objective.encoder_width, PADDING_DOCUMENT),
            "positions": self._laid(positions, place, objective.encoder_width, 0),
        }
        place, documents, positions = self._places(self.counted.decoder, objective.decoder_width)
        inputs |= {
            "decoder_tokens": self._laid(decoder, place, objective.decoder_width, objective.padding),
            "decoder_documents": self._laid(documents, place, objective.decoder_width, PADDING_DOCUMENT),
            "decoder_positions": self._laid(positions, place, objective.decoder_width, 0),
        }
        return Noised(inputs, self._laid(target, place, objective.decoder_width, IGNORE_INDEX))

    def _joined(
        self, start_L: Integers, length_L: Integers, sentinel_at_L: Integers, sentinels_L: Integers, is_last_L: Integers
    ) -> Integers:
        """For each span some text, its sentinel at a place of its own, and `end` after the last span of a piece."""
        size_L = length_L + 1 + is_last_L
        begin_L = np.cumsum(size_L) - size_L
        source = np.repeat(start_L - begin_L, size_L)
        source += np.arange(len(source))
        joined = self.text.take(source, mode="clip")
        joined[begin_L + sentinel_at_L] = sentinels_L
        joined[(begin_L + size_L - 1)[is_last_L == 1]] = self.objective.end
        return joined

    def _places(self, size_Q: Integers, width: int) -> tuple[Integers, Integers, Integers]:
        """For each token of pieces of these sizes: its place in the flat rows, its document and its position."""
        begin_Q = np.cumsum(size_Q) - size_Q
        row_begin_Q = begin_Q[np.searchsorted(self.row_Q, self.row_Q)]
        every = np.arange(int(size_Q.sum()))
        place = every + np.repeat(self.row_Q * width - row_begin_Q, size_Q)
        return place, np.repeat(self.document_Q, size_Q), every - np.repeat(begin_Q, size_Q)

    def _laid(self, values: Integers, place: Integers, width: int, empty: int) -> Integers:
        laid = np.full((self.num_rows, width), empty, np.int64)
        laid.ravel()[place] = values
        return laid
