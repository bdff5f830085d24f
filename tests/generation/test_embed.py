"""Vectors of texts: alone as in a batch, from what each pooling says, in every family."""

import re
from typing import Any

import numpy as np
import pytest
import torch

from tests.generation.test_prompts import foreign
from tests.generation.tiny import pretrained
from zoo.errors import ConfigError, DataError
from zoo.generation.abilities import ABILITIES
from zoo.generation.embed import POOLINGS, embed, rows_to_embed
from zoo.generation.prompts import frame_of, framed
from zoo.nn.positions import PositionsConfig
from zoo.pretrained import Pretrained

TEXTS = ["The dog", "A", "The cat sees the dog", "The dog"]


def hidden_of(model: Pretrained, text: str) -> torch.Tensor:
    """(T, D) of one text by itself."""
    tokens = torch.tensor([framed(model.config.kind, model.tokenizer, model.tokenizer.encode(text).tolist())])
    backbone: Any = model.model.backbone
    with torch.no_grad():
        if model.config.kind == "encoder_decoder":
            return backbone.encode(tokens).hidden_BSD[0]
        return backbone(tokens)[0]


@pytest.mark.parametrize("positions", ["learned", "relative", "alibi", "none"])
@pytest.mark.parametrize("kind", ABILITIES)
def test_a_text_has_the_same_vector_in_any_batch(kind: str, positions: str) -> None:
    assert positions in PositionsConfig.choices
    model = pretrained(kind, positions=positions)
    for pooling in POOLINGS:
        together = model.embed(TEXTS, pooling=pooling)
        assert together.shape == (4, 16)
        for vector, text in zip(together, TEXTS, strict=True):
            torch.testing.assert_close(vector, model.embed(text, pooling=pooling), rtol=1e-5, atol=1e-5)
        assert not torch.allclose(together[0], together[1], atol=1e-2)


@pytest.mark.parametrize("kind", ABILITIES)
def test_poolings_are_what_they_are_called(kind: str) -> None:
    model = pretrained(kind, positions="rotary")
    for text in TEXTS:
        hidden = hidden_of(model, text)
        for pooling, expected in {"mean": hidden.mean(0), "first": hidden[0], "last": hidden[-1]}.items():
            torch.testing.assert_close(model.embed(text, pooling=pooling), expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(model.embed(TEXTS[0]), model.embed(TEXTS[0], pooling="mean"))
    normal = model.embed(TEXTS, normalize=True)
    torch.testing.assert_close(normal.norm(dim=-1), torch.ones(4))


@pytest.mark.parametrize("kind", ABILITIES)
def test_long_texts_lose_their_end_with_one_warning(kind: str) -> None:
    """The special tokens around them stay, also where learned positions would not hold the whole text."""
    model = pretrained(kind, positions="learned")
    long, short = "The dog sees the cat " * 9, "A"
    before, after = frame_of(kind, model.tokenizer, [])
    cut = [*before, *model.tokenizer.encode(long).tolist()[: 20 - len(before) - len(after)], *after]
    with pytest.warns(UserWarning, match="^2 of 3 texts have more than the 20 tokens") as told:
        vectors = model.embed([long, short, long], pooling="last", max_length=20)
    assert len([one for one in told if one.category is UserWarning]) == 1
    assert vectors.shape == (3, 16)
    expected = embed(model.model, [cut], 0, "last", normalize=False)[0]
    torch.testing.assert_close(vectors[0], expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(vectors[1], model.embed(short, pooling="last"), rtol=1e-5, atol=1e-5)
    model.conventions = model.conventions._replace(max_length=20)
    with pytest.warns(UserWarning, match="^the text has more than the 20 tokens"):
        assert torch.equal(model.embed(long, pooling="last"), model.embed(long, pooling="last", max_length=20))
    with pytest.raises(DataError, match="learned positions"):
        model.embed(long, max_length=1000)
    for wrong in (0, 2.0, True):
        with pytest.raises(ConfigError, match=r"max_length: .* must be at least 1"):
            model.embed(long, max_length=wrong)  # type: ignore[arg-type]


def test_special_tokens_need_room() -> None:
    with pytest.raises(ConfigError, match="max_length: 2 leaves no token to a text beside the 2 special ones"):
        pretrained("encoder").embed("The dog", max_length=2)


def test_what_a_file_puts_behind_a_text_is_read_too() -> None:
    """As by transformers: embedding models that are decoders are pooled at an end token."""
    tokenizer = foreign("gpt", ["<|endoftext|>"], ["<|endoftext|>"])
    end = tokenizer.role("end")
    rows = rows_to_embed("decoder", tokenizer, ["The dog", ""], None)
    assert rows == [[end, *tokenizer.encode("The dog").tolist(), end], [end, end]]


def test_vectors_can_be_trained_on_and_wrong_input_is_refused() -> None:
    model = pretrained("encoder", positions="learned")
    probe = torch.nn.Linear(16, 1)
    probe(model.embed(TEXTS)).sum().backward()
    assert model.embed([]).shape == (0, 16)
    with pytest.raises(ConfigError, match="unknown pooling 'middle'"):
        model.embed("The", pooling="middle")
    with pytest.raises(DataError, match="learned positions; shorten the text"):
        model.embed(["The", "the " * 30])
    with pytest.raises(DataError, match="text 1: the text is empty"):
        pretrained("decoder").embed(["The", ""])


def test_what_is_asked_for_by_another_type_is_refused() -> None:
    model = pretrained("encoder")
    for name, value in (("normalize", "no"), ("normalize", 1), ("prompt", 3), ("prompt", ["a"]), ("pooling", ["mean"])):
        with pytest.raises(ConfigError, match=f"^{name}: {re.escape(repr(value))} ") as caught:
            model.embed("a", **{name: value})
        assert caught.value.key == name
    with pytest.raises(ConfigError, match=r"^2 settings are wrong"):
        model.embed("a", normalize="no", prompt=3)
    assert torch.equal(model.embed("a", normalize=np.True_), model.embed("a", normalize=True))
