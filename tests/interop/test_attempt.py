"""What an architecture makes of a model: what is written, what is put otherwise, what stands in the way."""

from typing import Any

import pytest

from zoo.errors import ConfigError
from zoo.interop import ARCHITECTURES, read_config, write_config
from zoo.interop.attempt import MOST_TOLD, attempt, is_dropout, lines, no_output_depends_on
from zoo.models.create import model_config

NO_BIAS = {f"{projection}_bias": False for projection in ("query", "key", "value", "output")}
SIZE = {"dim": 16, "num_layers": 1, "num_heads": 2, "feed_forward_dim": 24, "max_length": 16, "vocab_size": 50}


def keys(architecture: str, model: str, **changes: Any) -> list[str]:
    """What stands in the way."""
    return [error.key for error in attempt(architecture, model_config(model, **changes)).obstacles]


def test_what_fits_is_not_changed() -> None:
    config = model_config("gpt2", **SIZE)
    found = attempt("gpt2", config)
    assert (found.changes, found.obstacles, found.differences()) == ({}, [], [])
    assert found.fields == write_config("gpt2", config)
    assert read_config("gpt2", found.fields) == found.config


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"vocab_multiple": 64}, "the 14 spare rows of the token table"),
        ({"vocab_multiple": 50}, None),
        ({"attention": NO_BIAS}, "attention.value_bias: gpt2 always has them; zeros are written"),
        ({"norm": {"bias": False}}, "norm.bias: gpt2 always has them"),
        ({"feed_forward": {"bias": False}}, "feed_forward.bias: gpt2 always has them"),
        ({"dropout": {"final": 0.2}}, "dropout.final 0.2 (0.0 there): gpt2 has no setting for that"),
        ({"dropout": {"depth": 0.1}}, "dropout.depth 0.1 (0.0 there)"),
    ],
)
def test_what_no_output_depends_on_is_changed_and_told(changes: dict[str, Any], told: str | None) -> None:
    config = model_config("gpt2", **SIZE, **changes)
    found = attempt("gpt2", config)
    assert not found.obstacles
    assert found.changes
    assert [told in line for line in found.differences()] == ([] if told is None else [True])
    assert read_config("gpt2", found.fields) == found.config
    again = attempt("gpt2", found.config)
    assert (again.changes, again.obstacles) == ({}, [])
    with pytest.raises(ConfigError):  # which keeps its word: what it writes is what it is given
        write_config("gpt2", config)


def test_both_sides_of_a_pair_get_the_biases() -> None:
    """A decoder follows its encoder, and is changed by itself where it differs."""
    config = model_config("marian-base", **SIZE, vocab_multiple=8, attention=NO_BIAS, decoder={"num_layers": 2})
    found = attempt("marian", config)
    assert not found.obstacles
    assert found.config.attention.key_bias
    assert found.config.decoder_config().attention.key_bias  # type: ignore[attr-defined]
    one_side = model_config("marian-base", **SIZE, decoder={"attention": NO_BIAS})
    found = attempt("marian", one_side)
    assert not found.obstacles
    assert {*found.changes} == {f"decoder.attention.{name}" for name in NO_BIAS}


def test_where_some_have_a_bias_all_have_one() -> None:
    """Llama says the four biases of attention by one field."""
    found = attempt("llama", model_config("llama-nano", attention={"output_bias": True}))
    assert not found.obstacles
    assert {*found.changes} == {f"attention.{name}_bias" for name in ("query", "key", "value")}


def test_biases_that_are_there_are_not_taken_away() -> None:
    assert keys("mistral", "llama-nano", feed_forward={"bias": True}) == ["feed_forward.bias"]


def test_everything_that_stands_in_the_way_is_told_at_once() -> None:
    changes = {"placement": "post", "positions": "alibi", "norm": {"eps": 1e-3}, "embedding": {"scale": "sqrt_dim"}}
    found = keys("gpt2", "gpt2", **changes, attention={"window": 4}, vocab_multiple=64)
    assert {*found} == {"placement", "positions.kind", "embedding.scale", "attention.window"}  # eps has a field
    with pytest.raises(ConfigError, match=r"^gpt2 has no place for 5 settings of this model:\n  placement: ") as caught:
        write_config("gpt2", model_config("gpt2", **changes, attention={"window": 4}, vocab_multiple=64))
    assert str(caught.value).count("\n  ") == 5


def test_heads_that_no_class_has_do_not_hide_the_rest() -> None:
    assert keys("roberta", "bert-nano", placement="pre") == ["heads", "placement", "embedding.padding_token"]
    two = {"other": {"kind": "language_model"}}
    assert keys("gpt2", "gpt2", heads=two, positions="rotary") == ["heads", "positions.kind"]


def test_of_a_group_of_another_kind_only_the_kind_is_told() -> None:
    found = keys("t5", "transformer-base")
    assert "attention.scale.kind" in found
    assert not {"attention.scale.value", "positions.base", "positions.layout"} & {*found}


def test_a_group_that_is_missing_is_told_as_a_whole() -> None:
    assert "embedding.factorization" in keys("albert", "bert-nano")


def test_a_model_of_another_family_is_told_nothing_else() -> None:
    for name, table in ARCHITECTURES.items():
        if table.constant["kind"] != "encoder_decoder":
            assert keys(name, "t5-nano") == ["kind"]


def test_what_is_a_change_and_what_is_not() -> None:
    assert no_output_depends_on("heads.pooler.dropout", 0.1, 0.0)
    assert not no_output_depends_on("attention.key_bias", True, False)
    assert not no_output_depends_on("norm.eps", 1e-5, 1e-6)
    assert not no_output_depends_on("heads.x.dropout", "some", None)
    assert not is_dropout("dropout_free")


def test_long_lists_are_cut() -> None:
    errors = [ConfigError("no", f"key{number}") for number in range(MOST_TOLD + 2)]
    told = lines(errors, 2).split("\n  ")
    assert told[-1] == f"and 2 more: key{MOST_TOLD}, key{MOST_TOLD + 1}"
    assert len(told) == MOST_TOLD + 2
