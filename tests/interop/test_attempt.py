"""What an architecture makes of a model: what is written, what is put otherwise, what stands in the way."""

import contextlib
import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from zoo.config import Config, flatten, marks_of, to_mapping
from zoo.errors import ConfigError
from zoo.heads import HeadConfig
from zoo.interop import ARCHITECTURES, read_config, write_config
from zoo.interop.attempt import MOST_TOLD, attempt, lines, no_output_depends_on
from zoo.interop.configs import put
from zoo.interop.weights import changed_weights
from zoo.models import ModelConfig
from zoo.models.create import model_config
from zoo.nn.attention import AttentionConfig
from zoo.nn.feed_forward import FeedForwardConfig
from zoo.nn.norm import LayerNormConfig, NormConfig

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
    config = model_config("bert-nano", **SIZE, heads={"pooler": {"kind": "pooler"}})
    assert no_output_depends_on(config, "heads.pooler.transform.dropout", 0.1, 0.0)
    assert not no_output_depends_on(config, "heads.pooler.transform.dropout", "some", None)
    assert not no_output_depends_on(config, "heads.none.dropout", 0.1, 0.0)
    assert no_output_depends_on(config, "attention.key_bias", False, True)
    assert not no_output_depends_on(config, "attention.key_bias", True, False)
    assert not no_output_depends_on(config, "norm.eps", 1e-5, 1e-6)
    pair = model_config("transformer-base", **SIZE, decoder={"dropout": {"residual": 0.2}})
    assert no_output_depends_on(pair, "decoder.dropout.residual", 0.2, 0.1)
    layers = model_config("gpt2", **{**SIZE, "num_layers": 2}, layers={"0": {"feed_forward": {"bias": False}}})
    assert no_output_depends_on(layers, "layers.0.feed_forward.bias", False, True)


def test_a_name_decides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that is called a bias and is not marked stands in the way."""
    config = model_config("gpt2", **SIZE, norm={"bias": False})
    field = LayerNormConfig.__dataclass_fields__["bias"]
    monkeypatch.setattr(field, "metadata", {**field.metadata, "zero_adds_nothing": False})
    found = attempt("gpt2", config)
    assert [error.key for error in found.obstacles] == ["norm.bias"]


# ---------------------------------------------------------------------------------------------------------------- marks

PARTS: dict[str, type[Any]] = {"norm": NormConfig, "attention": AttentionConfig, "feed_forward": FeedForwardConfig}
VARIED: list[dict[str, Any]] = [
    *({part: {"kind": kind}} for part, base in PARTS.items() for kind in base.choices if kind != "none"),
    *({"heads": {"head": {"kind": kind}}} for kind in HeadConfig.choices),
    {"embedding": {"factorization": {"dim": 8}}},
    {"heads": {"head": {"kind": "language_model", "transform": "gelu"}}},
    {"heads": {"head": {"kind": "sequence_classification", "transform": {}}}},
]
TRIED = {"training_only": (0.3, 0.0), "zero_adds_nothing": (False, True)}
"""A mark, and two values between which no output changes."""


def outputs(config: ModelConfig, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    model = config.build_unset().eval()
    model.load_state_dict(weights)
    tokens = torch.arange(8).view(2, 4)
    with torch.no_grad():
        return {"hidden": model.backbone(tokens=tokens), **model(tokens=tokens)}


@functools.cache
def tried(mark: str) -> dict[int, bool]:
    """The settings that have a mark, by the identity of what was said of them, and whether it is true."""
    found: dict[int, bool] = {}
    known: set[tuple[int, str]] = set()
    for settings in VARIED:
        config = model_config("bert-nano", **SIZE, **settings)
        for path in flatten(to_mapping(config)):
            said = [one for one in marks_of(config, path) if one.get(mark)]
            if not said or (one := (id(said[-1]), path.rpartition(".")[2])) in known:
                continue
            models = []
            for value in TRIED[mark]:
                changes: dict[str, Any] = {}
                put(changes, path, value)
                with contextlib.suppress(ConfigError):  # it goes with something that is not there
                    models.append(model_config(config, **changes))
            if len(models) == 2:
                weights = models[0].build(seed=1).state_dict()
                before, after = outputs(models[0], weights), outputs(models[1], changed_weights(weights, *models))
                same = all(torch.allclose(before[name], after[name], atol=1e-6) for name in before)
                found[one[0]] = same and found.get(one[0], True)
                known.add(one)
    return found


@pytest.mark.parametrize("mark", TRIED)
def test_every_mark_is_true(mark: str) -> None:
    """Whatever is marked changes no output: dropout outside of training, a bias of zeros that was not there."""
    classes: list[type[Config]] = [Config]
    while classes:
        known = classes.pop()
        classes += known.__subclasses__()
        for field in dataclasses.fields(known) if known.__module__.startswith("zoo.") else ():
            if field.metadata.get(mark):
                assert tried(mark).get(id(field.metadata)), f"{known.__name__}.{field.name}"


def test_long_lists_are_cut() -> None:
    errors = [ConfigError("no", f"key{number}") for number in range(MOST_TOLD + 2)]
    told = lines(errors, 2).split("\n  ")
    assert told[-1] == f"and 2 more: key{MOST_TOLD}, key{MOST_TOLD + 1}"
    assert len(told) == MOST_TOLD + 2
