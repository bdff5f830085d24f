"""Framing: what a tokenizer's file says, else what training does; nothing twice."""

import json

import pytest

from tests.generation.vocabularies import tokenizer_of
from zoo.errors import DataError
from zoo.generation.prompts import framed, prompt_tokens
from zoo.tokenizer.special_tokens import SpecialTokens
from zoo.tokenizer.tokenizer import Tokenizer


def foreign(name: str, before: list[str], after: list[str]) -> Tokenizer:
    """A tokenizer whose file frames each text, as those of Hugging Face folders do."""
    ours = tokenizer_of(name)
    definition = json.loads(ours.definition)
    sides = [[{"SpecialToken": {"id": token, "type_id": 0}} for token in side] for side in (before, after)]
    ids = {token: ours.prompt(token).tolist() for token in {*before, *after}}
    definition["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [*sides[0], {"Sequence": {"id": "A", "type_id": 0}}, *sides[1]],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {token: {"id": token, "ids": id, "tokens": [token]} for token, id in ids.items()},
    }
    return Tokenizer(json.dumps(definition), SpecialTokens(ours._special.roles, ours._special.sentinels))


def test_our_own_frames_are_those_of_training() -> None:
    bert, gpt, t5 = (tokenizer_of(name) for name in ("bert", "gpt", "t5"))
    assert framed("encoder", bert, [9]) == [bert.role("classify"), 9, bert.role("separate")]
    assert framed("decoder", gpt, [9]) == [9]
    assert framed("encoder_decoder", t5, [9]) == [9, t5.role("end")]
    assert prompt_tokens("decoder", gpt, "") == [gpt.role("begin")]


def test_a_file_s_own_frame_is_kept() -> None:
    gpt = foreign("gpt", ["<|endoftext|>"], ["<|endoftext|>"])
    begin = gpt.role("begin")
    assert gpt.frame == ((begin,), (begin,))
    dog = gpt.encode("The dog").tolist()
    assert prompt_tokens("decoder", gpt, "The dog") == [begin, *dog]  # nothing behind what is gone on with
    assert framed("encoder_decoder", gpt, dog) == [begin, *dog, begin]
    assert prompt_tokens("decoder", gpt, "<|endoftext|>The dog") == [begin, *dog]


def test_empty_prompts() -> None:
    with pytest.raises(DataError, match="needs a text to answer to"):
        prompt_tokens("encoder_decoder", tokenizer_of("t5"), "")
    with pytest.raises(DataError, match="no `begin` token"):
        prompt_tokens("decoder", tokenizer_of("t5"), "")
