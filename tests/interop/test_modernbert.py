"""ModernBERT: what is particular to it. That it equals transformers is in test_parity.py."""

from typing import Any

import pytest
import torch
from transformers import ModernBertConfig

from tests.interop.parity import oracle, our_weights
from zoo.config import build, merged, to_mapping
from zoo.errors import ConfigError
from zoo.interop import read_config, write_config
from zoo.models import ModelConfig
from zoo.nn.positions.rotary import RotaryConfig

PUBLISHED = {  # config.json of answerdotai/ModernBERT-base
    "architectures": ["ModernBertForMaskedLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 50281,
    "classifier_activation": "gelu",
    "classifier_bias": False,
    "classifier_dropout": 0.0,
    "classifier_pooling": "mean",
    "cls_token_id": 50281,
    "decoder_bias": True,
    "deterministic_flash_attn": False,
    "embedding_dropout": 0.0,
    "eos_token_id": 50282,
    "global_attn_every_n_layers": 3,
    "global_rope_theta": 160000.0,
    "gradient_checkpointing": False,
    "hidden_activation": "gelu",
    "hidden_size": 768,
    "initializer_cutoff_factor": 2.0,
    "initializer_range": 0.02,
    "intermediate_size": 1152,
    "layer_norm_eps": 1e-05,
    "local_attention": 128,
    "local_rope_theta": 10000.0,
    "max_position_embeddings": 8192,
    "mlp_bias": False,
    "mlp_dropout": 0.0,
    "model_type": "modernbert",
    "norm_bias": False,
    "norm_eps": 1e-05,
    "num_attention_heads": 12,
    "num_hidden_layers": 22,
    "pad_token_id": 50283,
    "position_embedding_type": "absolute",
    "reference_compile": None,
    "sep_token_id": 50282,
    "sparse_pred_ignore_index": -100,
    "sparse_prediction": False,
    "torch_dtype": "float32",
    "vocab_size": 50368,
}


def test_published_config() -> None:
    config = read_config("modernbert", PUBLISHED)
    layers = config.layer_configs()
    assert [layer.attention.window for layer in layers] == [64 if number % 3 else None for number in range(22)]
    assert {layer.positions.theta for layer in layers[::3]} == {160_000.0}  # type: ignore[attr-defined]
    assert {layer.positions.theta for layer in layers[1::3]} == {10_000.0}  # type: ignore[attr-defined]
    assert [layer.attention_placement for layer in layers] == ["none"] + [None] * 21
    with torch.device("meta"):
        assert config.build_unset().num_parameters == 149_655_232  # the model card says 149M
    rebuilt = ModernBertConfig(**write_config("modernbert", config))
    assert rebuilt.to_dict()["rope_parameters"] == ModernBertConfig(**PUBLISHED).to_dict()["rope_parameters"]


def test_half_of_wi_is_the_gate() -> None:
    fused = oracle("modernbert").state_dict()["model.layers.1.mlp.Wi.weight"]
    gate, value = (
        our_weights("modernbert")[f"backbone.stack.blocks.1.feed_forward.sublayer.{part}.weight"]
        for part in ("gate", "input")
    )
    assert torch.equal(fused, torch.cat((gate, value)))


def test_all_layers_may_see_everything() -> None:
    config = read_config("modernbert", {**PUBLISHED, "global_attn_every_n_layers": 1})
    assert write_config("modernbert", config)["layer_types"] == ["full_attention"] * 22
    assert "local_attention" not in write_config("modernbert", config)


def test_a_norm_in_the_first_layer_has_no_place() -> None:
    config = to_mapping(read_config("modernbert", PUBLISHED))
    config["layers"] = {key: change for key, change in config["layers"].items() if key != "0"}
    with pytest.raises(ConfigError, match=r"layers\.0\.attention_placement"):
        write_config("modernbert", build(ModelConfig, config))


def test_two_windows_have_no_place() -> None:
    changed = merged(to_mapping(read_config("modernbert", PUBLISHED)), {"layers": {"7": {"attention": {"window": 3}}}})
    with pytest.raises(ConfigError, match="one window and one theta for each sort of layer"):
        write_config("modernbert", build(ModelConfig, changed))


@pytest.mark.parametrize(
    "field, value",
    [
        ("sparse_prediction", True),
        ("attention_dropout", 0.1),
        ("initializer_cutoff_factor", 3.0),
        ("layer_types", ["full_attention"]),
        ("hidden_activation", "mish"),
        ("rope_parameters", {"full_attention": {"rope_type": "yarn", "rope_theta": 5.0}}),
    ],
)
def test_fields_that_are_not_covered(field: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config("modernbert", {**{n: v for n, v in PUBLISHED.items() if "theta" not in n}, field: value})
    assert caught.value.key.split(".")[0] == field


def test_layers_that_are_all_local() -> None:
    """Their window and base are those of the whole stack then."""
    config = read_config("modernbert", {**PUBLISHED, "layer_types": ["sliding_attention"] * 22})
    assert (config.attention.window, config.positions) == (64, RotaryConfig(theta=10_000.0))
    assert list(config.layers) == ["0"]
    assert write_config("modernbert", config)["layer_types"] == ["sliding_attention"] * 22


@pytest.mark.parametrize("types", ["sfssf", "sff", "sfsf", "ssf", "fsf", "fsffs", "sssss", "f", "s"])
def test_whichever_layers_slide(types: str) -> None:
    """Window, base and the norm that the first layer lacks are independent of one another, there and back."""
    kinds = ["sliding_attention" if kind == "s" else "full_attention" for kind in types]
    config = read_config("modernbert", {"num_hidden_layers": len(types), "layer_types": kinds})
    layers = config.layer_configs()
    assert [layer.attention.window for layer in layers] == [64 if kind == "s" else None for kind in types]
    thetas = [layer.positions.theta for layer in layers]  # type: ignore[attr-defined]
    assert thetas == [10_000.0 if kind == "s" else 160_000.0 for kind in types]
    assert [layer.attention_placement for layer in layers] == ["none", *[None] * (len(types) - 1)]
    assert write_config("modernbert", config)["layer_types"] == kinds
