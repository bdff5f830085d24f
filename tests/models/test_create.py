"""A name, a config or plain data, with changes, makes a model; what does not fit is refused by its key."""

from typing import Any

import pytest
import torch

import zoo
from zoo.config import to_mapping
from zoo.errors import ConfigError
from zoo.models.create import create_model, model_config
from zoo.nn.norm import RMSNormConfig
from zoo.nn.positions.alibi import AlibiConfig
from zoo.nn.positions.rotary import RotaryConfig

PLAIN = {"kind": "decoder", "dim": 8, "num_heads": 2, "num_layers": 1, "vocab_size": 11}


def test_three_ways_to_say_the_same() -> None:
    config = model_config("gpt-nano")
    assert model_config(config) == config
    assert model_config(to_mapping(config)) == config
    assert model_config({"preset": "gpt-nano"}) == config


@pytest.mark.parametrize("positions", ["alibi", {"kind": "alibi"}, AlibiConfig()])
def test_changes_in_three_ways(positions: Any) -> None:
    config = model_config("gpt-nano", positions=positions, dropout={"attention": 0.3})
    assert config.positions == AlibiConfig()
    assert config.dropout.attention == 0.3
    assert config.dim == model_config("gpt-nano").dim


def test_changes_reach_into_groups() -> None:
    config = model_config("llama-nano", positions={"theta": 500.0}, norm=RMSNormConfig(eps=0.1))
    assert config.positions == RotaryConfig(theta=500.0)
    assert config.norm == RMSNormConfig(eps=0.1)
    assert config.heads["language_model"].tied is False  # type: ignore[attr-defined]
    added = model_config("llama-nano", heads={"second": {"kind": "language_model", "bias": True}})
    assert list(added.heads) == ["language_model", "second"]
    assert model_config("llama-nano", heads={"language_model": None}).heads == {}


def test_a_given_config_is_a_base_like_any_other() -> None:
    config = model_config(PLAIN, attention={"cap": 0.5})
    assert model_config(config, attention={"window": 3}).attention.cap == 0.5
    assert model_config(config, num_layers=2).num_layers == 2
    assert config.num_layers == 1


@pytest.mark.parametrize("seed", ["x", 1.5, None, True, -1])
def test_a_seed_that_is_none_is_refused(seed: Any) -> None:
    with pytest.raises(ConfigError, match=r"^seed: "):
        create_model(PLAIN, seed=seed)


def test_seeds() -> None:
    one, same, other = (create_model(PLAIN, seed=seed).backbone.tokens.weight for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_public_names() -> None:
    model = zoo.create_model("gpt-nano", positions={"kind": "alibi"})
    assert model(tokens=torch.tensor([[1, 2]]))["language_model"].shape == (1, 2, 4096)
    assert "gpt-nano" in zoo.list_models("gpt*")


@pytest.mark.parametrize(
    "model, changes, message",
    [
        ("gpt3", {}, r"^preset: unknown preset 'gpt3'; did you mean 'gpt2'\?"),
        (
            "gpt-nano",
            {"position": "alibi"},
            r"^position: unknown decoder model key 'position'; did you mean 'positions'",
        ),
        ("gpt-nano", {"positions": "alibbi"}, r"^positions\.kind: unknown positions 'alibbi'; did you mean 'alibi'"),
        ("gpt-nano", {"positions": {"theta": 3.0}}, r"^positions\.theta: unknown learned positions key 'theta'"),
        ("gpt-nano", {"dim": 0}, r"^dim: 0 must be at least 1"),
        ("gpt-nano", {"norm": AlibiConfig()}, r"^norm\.kind: unknown norm 'alibi'"),
        ("gpt-nano", {"kind": "encoder"}, r"^kind: 'encoder' does not go with preset gpt-nano"),
        ({"dim": 8}, {}, r"^model: needs a kind \(legal: decoder, encoder, encoder_decoder\)"),
        ({**PLAIN, "kind": "gpt"}, {}, r"^kind: unknown model 'gpt'"),
        ({**PLAIN, "heads": "language_model"}, {}, r"^heads: 'language_model' is not a group of named settings"),
    ],
)
def test_mistakes(model: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        create_model(model, **changes)
