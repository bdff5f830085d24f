"""Scores are the model's own probabilities, written out plainly: one forward a text, or one a masked token."""

import math
from typing import Any

import pytest
import torch

from tests.generation.test_prompts import foreign
from tests.generation.tiny import pretrained, tiny
from tests.generation.vocabularies import LLAMA
from zoo.errors import ConfigError, DataError, ZooError
from zoo.generation.abilities import ABILITIES
from zoo.generation.score import TextScore
from zoo.pretrained import Pretrained
from zoo.tokenizer.spelling import spelled_bytes

TEXTS = ["The dog sees", "A", "The cat sees the dog", "The dog sees"]


def logits_of(model: Pretrained, **inputs: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        tensors = {name: torch.tensor([ids]) for name, ids in inputs.items()}
        return model(**tensors)["language_model"][0, :, : model.tokenizer.vocab_size].log_softmax(-1)


def by_hand(model: Pretrained, text: str, continuation: str) -> list[float]:
    """The log-probabilities of the tokens of a continuation."""
    tokenizer, kind = model.tokenizer, model.config.kind
    if kind == "encoder_decoder":
        output = [*tokenizer.prompt(continuation).tolist(), tokenizer.role("end")]
        prompt, start = [*tokenizer.prompt(text).tolist(), tokenizer.role("end")], tokenizer.role("padding")
        logits = logits_of(model, tokens=prompt, decoder_tokens=[start, *output[:-1]])
        return logits[range(len(output)), output].tolist()
    whole, given = tokenizer.prompt(text + continuation).tolist(), len(tokenizer.prompt(text))
    if kind == "decoder":
        return logits_of(model, tokens=whole)[range(given - 1, len(whole) - 1), whole[given:]].tolist()
    framed, found = [tokenizer.role("classify"), *whole, tokenizer.role("separate")], []
    for place in range(given + 1, len(whole) + 1):
        masked = [*framed[:place], tokenizer.role("mask"), *framed[place + 1 :]]
        found.append(float(logits_of(model, tokens=masked)[place, framed[place]]))
    return found


@pytest.mark.parametrize("positions", ["learned", "rotary", "relative"])
@pytest.mark.parametrize("kind", ABILITIES)
def test_scores_of_a_continuation_are_the_model_s(kind: str, positions: str) -> None:
    model = pretrained(kind, positions=positions)
    continuations = [" the cat", " the park", " in", " the cat"]
    scores = model.score(TEXTS, continuations)
    for score, text, continuation in zip(scores, TEXTS, continuations, strict=True):
        expected = by_hand(model, text, continuation)
        assert score.log_probabilities == pytest.approx(expected, abs=1e-5)
        assert score.total == pytest.approx(sum(expected), abs=1e-4)
        alone = model.score(text, continuation)
        assert alone.tokens == score.tokens
        assert alone.log_probabilities == pytest.approx(score.log_probabilities, abs=1e-5)
        assert score.text == continuation


def test_a_whole_text_of_a_decoder_is_scored_from_its_second_token_on() -> None:
    model = pretrained("decoder", positions="rotary")
    with pytest.warns(UserWarning, match="^'A' is one token, so nothing of it is scored"):
        scores = model.score(TEXTS)
    for text, score in zip(TEXTS, scores, strict=True):
        assert score.log_probabilities == pytest.approx(by_hand(model, text[:1], text[1:]), abs=1e-5)
        assert score.num_bytes == len(text) - 1
    assert scores[1] == TextScore("A", [], [], 0)
    assert math.isnan(scores[1].perplexity)
    assert math.isnan(scores[1].bits_per_byte)


def test_a_token_that_is_partly_of_the_text_counts_with_all_its_bytes() -> None:
    model = pretrained("decoder", "gpt", positions="rotary")
    score = model.score("The d", "og")
    assert len(model.tokenizer.decode(score.tokens)) > len("og")  # " dog" is one token
    assert score.num_bytes == len(model.tokenizer.decode(score.tokens))
    assert model.score("The", " dog").num_bytes == len(" dog")


@pytest.mark.parametrize("name", ["gpt", "bytes", LLAMA, "t5 with bytes"])
def test_bytes_are_counted_where_tokens_are_parts_of_characters(name: str) -> None:
    model = pretrained("decoder", name, positions="rotary", max_length=64)
    spelled, text = spelled_bytes(model.tokenizer), "The dog sees 日本😀 it"
    for one in ("日本", "é", "aé", "😀 it", text):
        if one != "é" or name != "t5 with bytes":
            score = model.score(one)
            assert score.num_bytes == spelled[score.tokens].sum() > 0
    for place in range(1, len(text)):
        score = model.score(text[:place], text[place:])
        assert score.num_bytes == spelled[score.tokens].sum()
        assert score.bits_per_byte == pytest.approx(-score.total / math.log(2) / score.num_bytes)
    if name in ("gpt", "bytes"):
        assert [model.score(one).num_bytes for one in ("日本", "é")] == [5, 1]


def test_a_continuation_that_is_one_token_with_its_text_is_scored_behind_it(
    recwarn: pytest.WarningsRecorder,
) -> None:
    model = pretrained("decoder", "gpt", positions="rotary")
    for text, continuation in (("T", "he"), ("T", "he dog")):
        assert len(model.tokenizer.prompt(text + continuation)) == continuation.count(" ") + 1
        before, behind = (model.tokenizer.prompt(part).tolist() for part in (text, continuation))
        score = model.score(text, continuation)
        logits = logits_of(model, tokens=[*before, *behind])
        expected = logits[range(len(before) - 1, len(before) + len(behind) - 1), behind].tolist()
        assert (score.tokens, score.num_bytes) == (behind, len(continuation))
        assert score.log_probabilities == pytest.approx(expected, abs=1e-5)
        assert math.isfinite(score.perplexity)
    assert not [one for one in recwarn if one.category is UserWarning]  # others may be of what is cleared away


def test_the_first_token_is_scored_behind_what_the_file_puts_before_a_text() -> None:
    tokenizer = foreign("gpt", ["<|endoftext|>"], [])
    model = Pretrained(tiny("decoder", vocab_size=tokenizer.vocab_size, positions="rotary").float(), tokenizer)
    tokens = tokenizer.encode("The dog").tolist()
    logits = logits_of(model, tokens=[tokenizer.role("begin"), *tokens])
    score = model.score("The dog")
    assert score.log_probabilities == pytest.approx(logits[range(len(tokens)), tokens].tolist(), abs=1e-5)
    assert score.num_bytes == 7


def test_a_whole_text_of_an_encoder_is_masked_token_by_token() -> None:
    model = pretrained("encoder", positions="learned")
    for text, score in zip(TEXTS, model.score(TEXTS), strict=True):
        assert score.log_probabilities == pytest.approx(by_hand(model, "", text), abs=1e-5)
        assert len(score.tokens) == len(model.tokenizer.prompt(text))


def test_sums_and_means() -> None:
    score = TextScore("abcd", [1, 2], [-math.log(2), -math.log(8)], 4)
    assert score.total == pytest.approx(-math.log(16))
    assert score.mean == pytest.approx(-math.log(4))
    assert score.perplexity == pytest.approx(4)
    assert score.bits_per_byte == pytest.approx(1)
    assert TextScore("a", [1], [-1e6], 1).perplexity == math.inf


def test_likely_texts_are_those_that_greedy_choice_writes() -> None:
    model = pretrained("decoder", positions="rotary")
    written = model.generate("The dog", max_new_tokens=6, details=True)
    wild = model.generate("The dog", max_new_tokens=6, temperature=3.0, details=True)
    assert written.score > wild.score
    found = model.model.double()
    assert found is model.model
    rows = [by_hand(model, "The dog", one.text) for one in (written,) if "�" not in one.text]
    for row in rows:
        assert row == pytest.approx(written.log_probabilities, abs=1e-4)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: pretrained("decoder").score(""), DataError, "'' has no tokens"),
        (lambda: pretrained("decoder").score("The", ""), DataError, "no tokens"),
        (lambda: pretrained("encoder").score(["The", ""]), DataError, "no tokens"),
        (
            lambda: pretrained("encoder_decoder").score("The"),
            ConfigError,
            "continuation: is missing: an encoder-decoder",
        ),
        (lambda: pretrained("encoder_decoder").score("", "The"), DataError, "prompt is empty"),
        (lambda: pretrained("decoder").score(["The", "A"], [" dog"]), ConfigError, "continuation: 1 for 2 texts"),
        (lambda: pretrained("decoder").score("x" * 30), DataError, "29 tokens and the model has 24"),
        (lambda: pretrained("encoder").score("the " * 30), DataError, "learned positions"),
        (lambda: pretrained("decoder", heads={}).score("The"), ZooError, "no head 'language_model'"),
    ],
)
def test_wrong_input_is_a_clear_error(call: Any, error: type[ZooError], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
