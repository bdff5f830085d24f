"""Filling blanks in a text: single tokens with an encoder, spans of any length with an encoder-decoder.

An encoder names the tokens that may stand at each mask (BERT, Devlin et al. 2018, arXiv:1810.04805); several masks are
filled independently of each other. An encoder-decoder writes <extra_id_0>, the text of the first blank, <extra_id_1>,
the text of the second, … (T5, Raffel et al. 2020, arXiv:1910.10683, section 3.1.4), which is sorted into the blanks.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn

from zoo.errors import ConfigError, DataError, TextError
from zoo.generation.counts import check_count, of_each
from zoo.generation.evaluation_mode import EvaluationMode
from zoo.generation.finite import check_numbers
from zoo.generation.generate import Continuation, generate, limits_of
from zoo.generation.prompts import frame_of, framed
from zoo.generation.roles import TokenRoles
from zoo.generation.room import check_length
from zoo.generation.running import language_model_head
from zoo.generation.sample import SamplingConfig
from zoo.models.base import Model
from zoo.models.encoder import Encoder
from zoo.tokenizer.tokenizer import Tokenizer


class Candidate(NamedTuple):
    """What may stand in a blank.

    Attributes:
        text: its text by itself. A piece that goes on a word is spelt as the tokenizer does (##ing).
        probability: of a token at a mask; of a span: of all its tokens and of what ended it, one after the other.
    """

    text: str
    probability: float


class Filled(NamedTuple):
    """A text and what its blanks were filled with.

    Attributes:
        text: with the most likely candidate in each blank; decoded from tokens, so white space and case may be the
            tokenizer's. A blank without a candidate stays as it was.
        blanks: for each blank, in the order of the text, its candidates, most likely first.
    """

    text: str
    blanks: tuple[tuple[Candidate, ...], ...]


@torch.inference_mode()
def fill_masks(model: Model, tokenizer: Tokenizer, texts: Sequence[str], top: int = 5) -> list[Filled]:
    """The most likely tokens at each mask of each text; a text is computed by itself, whatever others there are.

    Args:
        model: an encoder with a language model head.
        tokenizer: its tokenizer.
        texts: with the mask token written out ([MASK]) once or more.
        top: candidates for each mask. Special tokens are never among them.

    Raises:
        DataError: no mask in a text, or more tokens than learned positions; before anything is computed.
        ConfigError: `top` out of range. ZooError: the weights give no numbers.
    """
    backbone = model.backbone
    assert isinstance(backbone, Encoder), "fill_masks is for encoders"
    head = language_model_head(model)
    num_ordinary = tokenizer.vocab_size - len(tokenizer.special_ids)
    check_count(top, "top")
    if top > num_ordinary:
        raise ConfigError(f"{top!r} must be in 1 … {num_ordinary}, the ordinary tokens of the vocabulary", "top")
    limit = backbone.stack.positions.num_positions
    masked_texts = of_each(texts, lambda text: _masked(tokenizer, text, limit))
    with EvaluationMode(model):
        return [_with_candidates(backbone, head, tokenizer, masked, top) for masked in masked_texts]


class _Masked(NamedTuple):
    """A text with masks.

    Attributes:
        tokens: its ids. whole: these in their frame, as they are read. start: place of the first of them there.
        places: of the masks among the tokens.
    """

    tokens: list[int]
    whole: list[int]
    start: int
    places: list[int]


def _masked(tokenizer: Tokenizer, text: str, limit: int | None) -> _Masked:
    mask, tokens = tokenizer.role("mask"), tokenizer.prompt(text).tolist()
    places = [place for place, token in enumerate(tokens) if token == mask]
    if not places:
        raise TextError(f"no blank in {text!r}: write {tokenizer.token(mask)} where a token is to be filled in")
    front, behind = frame_of("encoder", tokenizer, tokens)
    whole = [*front, *tokens, *behind]
    check_length(len(whole), limit)
    return _Masked(tokens, whole, len(front), places)


def _with_candidates(backbone: Encoder, head: nn.Module, tokenizer: Tokenizer, masked: _Masked, top: int) -> Filled:
    hidden_BTD = backbone(torch.tensor([masked.whole], device=backbone.tokens.weight.device))
    places_N = torch.tensor([masked.start + place for place in masked.places], device=hidden_BTD.device)
    logits_NV = head(hidden_BTD[0, places_N])[:, : tokenizer.vocab_size]
    check_numbers(logits_NV, "logits")
    probabilities_NV = logits_NV.double().softmax(dim=-1)
    ordinary_NV = probabilities_NV.index_fill(-1, torch.as_tensor(tokenizer.special_ids, device=logits_NV.device), -1.0)
    best = ordinary_NV.topk(top, dim=-1)

    tokens, blanks = [*masked.tokens], []
    for place, ids, probabilities in zip(masked.places, best.indices.tolist(), best.values.tolist(), strict=True):
        tokens[place] = ids[0]
        blanks.append(
            tuple(Candidate(tokenizer.decode([id]), share) for id, share in zip(ids, probabilities, strict=True))
        )
    return Filled(tokenizer.decode(tokens, skip_special=False), tuple(blanks))


def fill_spans(
    model: Model,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    max_new_tokens: int | None = None,
    roles: TokenRoles | None = None,
    prefix: tuple[int, ...] = (),
) -> list[Filled]:
    """What an encoder-decoder writes, greedily, into the blanks of each text; a text is worked on by itself.

    Args:
        model: an encoder-decoder with a language model head.
        tokenizer: its tokenizer.
        texts: with sentinels written out: <extra_id_0> for the first blank, <extra_id_1> for the second, …
        max_new_tokens: tokens of all blanks and their sentinels together, at most; None: as in `generate_steps`.
        roles: padding, start, stop, what is never written; None: as the tokenizer has them.
        prefix: ids that the output is made to begin with.

    Raises:
        DataError: the tokenizer has no sentinels; before anything is computed, a text has none, or not these in this
            order, or more tokens than learned positions.
    """
    if not tokenizer.sentinels:
        raise DataError(
            "the tokenizer has no sentinel tokens (<extra_id_0>, …), so no blank can be named; use generate"
        )
    if roles is None:
        roles = TokenRoles(tokenizer.vocab_size, tokenizer.role("padding"), (tokenizer.role("end"),))
    roles, sampling = roles._replace(num_forced=len(prefix)), SamplingConfig(prefix_tokens=prefix)
    filled = []
    for one in of_each(texts, lambda text: _spanned(model, tokenizer, text, roles, max_new_tokens)):
        # Training knows no sentinel after the last blank's text: whatever came behind one would fill no blank.
        ending = roles._replace(stop=(*roles.stop, *tokenizer.sentinels[one.num_blanks :][:1]))
        (written,) = generate(model, [one.whole], ending, max_new_tokens=max_new_tokens, sampling=sampling)
        filled.append(_with_spans(tokenizer, one, sort_spans(written, tokenizer.sentinels)))
    return filled


class _Spanned(NamedTuple):
    """A text with sentinels.

    Attributes:
        text: as it was given. tokens: its ids. whole: these in their frame, as they are read.
        num_blanks: how many there are.
    """

    text: str
    tokens: list[int]
    whole: list[int]
    num_blanks: int


def _spanned(model: Model, tokenizer: Tokenizer, text: str, roles: TokenRoles, max_new_tokens: int | None) -> _Spanned:
    tokens = tokenizer.prompt(text).tolist()
    count = _count_sentinels(tokenizer, tokens, text)
    whole = framed("encoder_decoder", tokenizer, tokens)
    limits_of(model, [whole], roles, max_new_tokens)  # raises what `generate` would
    return _Spanned(text, tokens, whole, count)


def _with_spans(tokenizer: Tokenizer, one: _Spanned, spans: dict[int, Continuation]) -> Filled:
    special = set(tokenizer.special_ids.tolist())
    filled: list[int] = []
    blanks: dict[int, tuple[Candidate, ...]] = dict.fromkeys(tokenizer.sentinels[: one.num_blanks], ())
    for token in one.tokens:
        span = spans.get(token)
        if span is None:
            filled.append(token)
        else:
            ordinary = [id for id in span.tokens if id not in special]
            filled.extend(ordinary)
            blanks[token] = (Candidate(tokenizer.decode(ordinary), math.exp(sum(span.log_probabilities))),)
    whole_text = tokenizer.decode(filled, skip_special=False)
    for sentinel, candidates in blanks.items():
        if not candidates:
            whole_text = _with_space_before(tokenizer.token(sentinel), one.text, whole_text)
    return Filled(whole_text, tuple(blanks.values()))


def _with_space_before(spelling: str, text: str, decoded: str) -> str:
    """A decoded text, in which a blank that stays has the white space before it that it has in the text.

    T5's tokenizer makes that a part of the sentinel, and decoding does not give it back.
    """
    before = text.partition(spelling)[0]
    space = before[len(before.rstrip()) :]
    left, found, right = decoded.partition(spelling)
    return left.rstrip() + space + found + right if found else decoded


def sort_spans(written: Continuation, sentinels: Sequence[int]) -> dict[int, Continuation]:
    """The spans of a decoder's output: for each sentinel that it wrote, what came after it.

    Args:
        written: the output, its log probabilities with it.
        sentinels: which tokens open a span, and so end the one before.

    Returns:
        Sentinel → tokens up to the next sentinel, and the log probabilities of these and of what ended them. What
        stands before the first sentinel belongs to no blank; of a sentinel that comes again, the first span counts.
    """
    opening = set(sentinels)
    opened = [place for place, token in enumerate(written.tokens) if token in opening]
    spans: dict[int, Continuation] = {}
    for place, next_place in itertools.pairwise([*opened, len(written.tokens)]):
        span = Continuation(
            written.tokens[place + 1 : next_place], written.log_probabilities[place + 1 : next_place + 1]
        )
        spans.setdefault(written.tokens[place], span)
    return spans


def _count_sentinels(tokenizer: Tokenizer, tokens: Sequence[int], text: str) -> int:
    """How many blanks the text has; DataError where they are not <extra_id_0>, <extra_id_1>, … in this order."""
    found = [token for token in tokens if token in set(tokenizer.sentinels)]
    spelt = [tokenizer.token(token) for token in found]
    if not found:
        first = tokenizer.token(tokenizer.sentinels[0])
        raise TextError(f"no blank in {text!r}: write {first} where text is to be filled in")
    if found != list(tokenizer.sentinels[: len(found)]):
        expected = [tokenizer.token(token) for token in tokenizer.sentinels[: len(found)]]
        raise TextError(
            f"the blanks of a text are {', '.join(expected)} in this order, each once, and not {', '.join(spelt)}"
        )
    return len(found)
