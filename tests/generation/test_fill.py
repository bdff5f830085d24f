"""Blanks: the candidates are the model's own, and a decoder's output is sorted into the text."""

import math
from typing import Any

import pytest
import torch

from tests.generation.tiny import tiny
from tests.generation.vocabularies import tokenizer_of
from zoo.errors import ConfigError, DataError
from zoo.generation import fill
from zoo.generation.fill import Candidate, Filled, sort_spans
from zoo.generation.generate import Continuation
from zoo.generation.roles import TokenRoles
from zoo.generation.room import MOST_NEW_TOKENS
from zoo.models import Model
from zoo.tokenizer.tokenizer import Tokenizer

BERT, T5 = tokenizer_of("bert"), tokenizer_of("t5")
S = T5.sentinels


def encoder(**changes: Any) -> Model:
    return tiny("encoder", vocab_size=BERT.vocab_size + 5, **changes)  # a table larger than the vocabulary


def encoder_decoder(**changes: Any) -> Model:
    return tiny("encoder_decoder", vocab_size=T5.vocab_size, **changes)


def fill_masks(model: Model, tokenizer: Tokenizer, text: str, **options: Any) -> Filled:
    """A single text."""
    (filled,) = fill.fill_masks(model, tokenizer, [text], **options)
    return filled


def fill_spans(model: Model, tokenizer: Tokenizer, text: str, **options: Any) -> Filled:
    """A single text."""
    (filled,) = fill.fill_spans(model, tokenizer, [text], **options)
    return filled


# ---------------------------------------------------------------------------------------------------------------- masks


def test_candidates_are_the_most_likely_ordinary_tokens() -> None:
    model, text = encoder(), "the [MASK] sees the [MASK] in the park."
    filled = fill_masks(model, BERT, text, top=4)
    tokens = [BERT.role("classify"), *BERT.prompt(text).tolist(), BERT.role("separate")]
    with torch.inference_mode():
        logits = model(tokens=torch.tensor([tokens]))["language_model"][0, :, : BERT.vocab_size]
    probabilities = logits.softmax(-1).tolist()
    masks = [place for place, token in enumerate(tokens) if token == BERT.role("mask")]
    assert len(filled.blanks) == len(masks) == 2
    special = set(BERT.special_ids.tolist())
    for place, blank in zip(masks, filled.blanks, strict=True):
        ordinary = [token for token in range(BERT.vocab_size) if token not in special]
        best = sorted(ordinary, key=lambda token: -probabilities[place][token])[:4]
        assert [candidate.text for candidate in blank] == [BERT.decode([token]) for token in best]
        assert [candidate.probability for candidate in blank] == pytest.approx(
            [probabilities[place][token] for token in best], abs=1e-12
        )
        tokens[place] = best[0]
    assert filled.text == BERT.decode(tokens[1:-1])
    assert "[" not in filled.text


def test_all_candidates_can_be_asked_for() -> None:
    ordinary = BERT.vocab_size - len(BERT.special_ids)
    (blank,) = fill_masks(encoder(), BERT, "[MASK]", top=ordinary).blanks
    assert len({candidate.text for candidate in blank}) == ordinary
    assert 0 < sum(candidate.probability for candidate in blank) < 1  # the special tokens have the rest
    for top, legal in ((0, "at least 1"), (-1, "at least 1"), (ordinary + 1, f"in 1 … {ordinary}")):
        with pytest.raises(ConfigError, match=f"top: {top} must be {legal}"):
            fill_masks(encoder(), BERT, "[MASK]", top=top)


def test_unknown_characters_stay_visible() -> None:
    assert "[UNK]" in fill_masks(encoder(), BERT, "the ∞ [MASK]").text


@pytest.mark.parametrize("text", ["", "the dog", "the MASK", "the <mask>"])
def test_a_text_without_a_mask_is_refused(text: str) -> None:
    with pytest.raises(DataError, match=r"no blank in .*write \[MASK\]"):
        fill_masks(encoder(), BERT, text)


def test_a_text_past_the_learned_positions_is_refused() -> None:
    words = ["the"] * 21
    assert fill_masks(encoder(positions="learned"), BERT, " ".join([*words, "[MASK]"])).blanks
    with pytest.raises(DataError, match="25 tokens and the model has 24"):
        fill_masks(encoder(positions="learned"), BERT, " ".join([*words, "the", "[MASK]"]))
    assert fill_masks(encoder(positions="rotary"), BERT, " ".join([*words, "the", "[MASK]"])).blanks


def test_a_tokenizer_without_a_mask_is_refused_by_name() -> None:
    with pytest.raises(DataError, match="'mask'"):
        fill_masks(tiny("encoder", vocab_size=T5.vocab_size), T5, "the [MASK]")


# ---------------------------------------------------------------------------------------------------------------- spans


def wrote(tokens: list[int], ended: bool = True) -> Continuation:
    """An output whose n-th token had the probability 2⁻ⁿ."""
    return Continuation(tokens, [-(place + 1) * math.log(2) for place in range(len(tokens) + ended)])


def test_spans_are_what_stands_between_sentinels() -> None:
    spans = sort_spans(wrote([9, S[0], 5, 6, S[1], S[2], 7]), S[:3])
    assert {sentinel: span.tokens for sentinel, span in spans.items()} == {S[0]: [5, 6], S[1]: [], S[2]: [7]}
    halves = {sentinel: [round(-p / math.log(2)) for p in span.log_probabilities] for sentinel, span in spans.items()}
    assert halves == {S[0]: [3, 4, 5], S[1]: [6], S[2]: [7, 8]}


def test_the_first_span_of_a_sentinel_counts_and_others_are_passed_over() -> None:
    spans = sort_spans(wrote([S[1], 5, S[0], 6, S[1], 7], ended=False), S[:2])
    assert {sentinel: span.tokens for sentinel, span in spans.items()} == {S[0]: [6], S[1]: [5]}
    assert sort_spans(wrote([5, 6]), S[:2]) == {}
    assert sort_spans(wrote([]), S[:2]) == {}


def filled_with(monkeypatch: pytest.MonkeyPatch, text: str, written: list[int]) -> Filled:
    """What becomes of a text where the model writes these tokens."""
    monkeypatch.setattr(fill, "generate", lambda *_, **__: [wrote(written)])
    return fill_spans(encoder_decoder(), T5, text)


def test_spans_come_back_into_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    dog, cat = T5.encode(" cute dog").tolist(), T5.encode(" cat").tolist()
    filled = filled_with(monkeypatch, "The<extra_id_0> sees the<extra_id_1> in the park.", [S[0], *dog, S[1], *cat])
    assert filled.text.strip() == "The cute dog sees the cat in the park."
    assert [blank[0].text.strip() for blank in filled.blanks] == ["cute dog", "cat"]
    places = range(2, 3 + len(dog))  # the span, and the sentinel after it
    assert filled.blanks[0][0].probability == pytest.approx(math.prod(2.0**-place for place in places))


def test_a_blank_that_was_not_filled_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    filled = filled_with(monkeypatch, "a<extra_id_0> i<extra_id_1> c", [S[1], *T5.encode(" dog").tolist()])
    assert filled.blanks[0] == ()
    assert filled.text.strip() == "a<extra_id_0> i dog c"


@pytest.mark.parametrize(
    "text", ["the <extra_id_0> a <extra_id_1> in", "the<extra_id_0> a <extra_id_1> in<extra_id_2>"]
)
def test_blanks_that_stay_keep_the_space_before_them(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    assert filled_with(monkeypatch, text, []).text.strip() == text
    assert filled_with(monkeypatch, text, [S[0]]).text.strip() == text.replace(" <extra_id_0>", "").replace(
        "<extra_id_0>", ""
    )


@pytest.mark.parametrize("written", [[], [5, 6], [S[7], 5]], ids=str)
def test_an_output_without_the_asked_sentinels_fills_nothing(
    monkeypatch: pytest.MonkeyPatch, written: list[int]
) -> None:
    filled = filled_with(monkeypatch, "a<extra_id_0> i", written)
    assert filled == Filled(filled.text, ((),))
    assert filled.text.strip() == "a<extra_id_0> i"


def test_a_sentinel_that_was_not_asked_for_ends_a_span(monkeypatch: pytest.MonkeyPatch) -> None:
    dog = T5.encode(" dog").tolist()
    assert filled_with(monkeypatch, "a<extra_id_0>", [S[0], *dog, S[7], *dog]).text.strip() == "a dog"


def test_an_empty_span_and_special_tokens_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    padding, unknown = T5.role("padding"), T5.role("unknown")
    filled = filled_with(monkeypatch, "a<extra_id_0> i<extra_id_1>", [S[0], S[1], padding, unknown])
    assert filled.text.strip() == "a i"
    assert filled.blanks[0] == (Candidate("", 0.25),)
    assert filled.blanks[1][0].text == ""


def test_an_overfitted_model_fills_what_it_learnt() -> None:
    text, spans = "The<extra_id_0> sees the<extra_id_1> in the park.", [" cute dog", " cat"]
    end, padding = T5.role("end"), T5.role("padding")
    inputs = torch.tensor([[*T5.prompt(text).tolist(), end]])
    target = [token for place, span in enumerate(spans) for token in (S[place], *T5.encode(span).tolist())] + [end]
    model = tiny("encoder_decoder", vocab_size=T5.vocab_size, positions="relative", initialization={"kind": "bert"})
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(60):
        logits = model(tokens=inputs, decoder_tokens=torch.tensor([[padding, *target[:-1]]]))["language_model"]
        loss = torch.nn.functional.cross_entropy(logits[0], torch.tensor(target))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    filled = fill_spans(model, T5, text)
    assert filled.text.strip() == "The cute dog sees the cat in the park."
    assert all(blank[0].probability > 0.5 for blank in filled.blanks)


@pytest.mark.parametrize(
    "text, message",
    [
        ("the dog", "no blank in 'the dog': write <extra_id_0>"),
        ("", "no blank"),
        ("a <extra_id_1> b", "<extra_id_0> in this order, each once, and not <extra_id_1>"),
        ("<extra_id_0> <extra_id_0>", "<extra_id_0>, <extra_id_1> in this order"),
        ("<extra_id_1> <extra_id_0>", "<extra_id_0>, <extra_id_1> in this order"),
    ],
)
def test_blanks_that_training_does_not_know_are_refused(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        fill_spans(encoder_decoder(), T5, text)


def test_limits_hold_for_spans() -> None:
    with pytest.raises(DataError, match="only 24 are left"):
        fill_spans(encoder_decoder(positions="learned"), T5, "a <extra_id_0>", max_new_tokens=25)
    ending_at_once = TokenRoles(T5.vocab_size, 0, stop=tuple(range(T5.vocab_size)))
    fill_spans(
        encoder_decoder(positions="relative"),
        T5,
        "a <extra_id_0>",
        roles=ending_at_once,
        max_new_tokens=MOST_NEW_TOKENS,
    )
    with pytest.raises(ConfigError, match=r"^max_new_tokens: 1000000000000 must be at most"):
        fill_spans(encoder_decoder(), T5, "a <extra_id_0>", max_new_tokens=10**12)
    with pytest.raises(DataError, match="learned positions; shorten the text"):
        fill_spans(encoder_decoder(positions="learned"), T5, "the cat " * 20 + "<extra_id_0>")
    with pytest.raises(DataError, match="no sentinel tokens"):
        fill_spans(tiny("encoder_decoder", vocab_size=BERT.vocab_size), BERT, "a <extra_id_0>")


def test_masks_are_read_in_the_frame_of_the_tokenizer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tokenizer's file says what stands around a text; candidates are those of the whole row."""
    before, after = (BERT.role("separate"),) * 2, (BERT.role("classify"),)
    monkeypatch.setattr(type(BERT), "frame", property(lambda _: (before, after)))
    model, text = encoder(), "the [MASK] sees"
    tokens = [*before, *BERT.prompt(text).tolist(), *after]
    with torch.inference_mode():
        logits = model(tokens=torch.tensor([tokens]))["language_model"][0, :, : BERT.vocab_size]
    ids = logits[tokens.index(BERT.role("mask"))].index_fill(0, torch.as_tensor(BERT.special_ids), -math.inf).topk(3)
    (blank,) = fill_masks(model, BERT, text, top=3).blanks
    assert [candidate.text for candidate in blank] == [BERT.decode([id]) for id in ids.indices.tolist()]
