"""GPT-2 equals transformers' GPT2LMHeadModel, and only with the right config."""

from typing import Any

import pytest
import torch
from transformers import GPT2Config

from tests.interop.parity import foreign_config, oracle
from zoo.config import difference
from zoo.errors import ConfigError
from zoo.interop import read_config, to_zoo
from zoo.models.create import model_config

NAME = "gpt2"
NAMES = [NAME, "gpt2 untied and unscaled"]
PUBLISHED = {  # config.json of openai-community/gpt2
    "activation_function": "gelu_new",
    "architectures": ["GPT2LMHeadModel"],
    "attn_pdrop": 0.1,
    "bos_token_id": 50256,
    "embd_pdrop": 0.1,
    "eos_token_id": 50256,
    "initializer_range": 0.02,
    "layer_norm_epsilon": 1e-05,
    "model_type": "gpt2",
    "n_ctx": 1024,
    "n_embd": 768,
    "n_head": 12,
    "n_layer": 12,
    "n_positions": 1024,
    "resid_pdrop": 0.1,
    "summary_activation": None,
    "summary_first_dropout": 0.1,
    "summary_proj_to_labels": True,
    "summary_type": "cls_index",
    "summary_use_proj": True,
    "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
    "vocab_size": 50257,
}


def test_fused_projections_are_cut_in_their_order() -> None:
    fused = oracle(NAME).state_dict()["transformer.h.1.attn.c_attn.weight"]
    ours = to_zoo("gpt2", oracle(NAME).state_dict(), foreign_config(NAME))
    for part, columns in zip(("query", "key", "value"), fused.chunk(3, dim=1), strict=True):
        assert torch.equal(ours[f"backbone.stack.blocks.1.self_attention.sublayer.project.{part}.weight"], columns.T)


def test_causal_masks_are_no_weights() -> None:
    masks = {
        f"transformer.h.{layer}.attn.{name}": torch.ones(1) for layer in range(3) for name in ("bias", "masked_bias")
    }
    assert to_zoo("gpt2", oracle(NAME).state_dict() | masks, foreign_config(NAME))


@pytest.mark.parametrize("foreign", [PUBLISHED, GPT2Config().to_dict()], ids=["published", "transformers"])
def test_preset(foreign: dict[str, Any]) -> None:
    assert difference(model_config("gpt2"), read_config("gpt2", foreign)) == []


@pytest.mark.parametrize(
    "field, value",
    [
        ("scale_attn_by_inverse_layer_idx", True),
        ("add_cross_attention", True),
        ("activation_function", "gelu_10"),
        ("quantization_config", {"bits": 4}),
    ],
)
def test_fields_that_are_not_covered(field: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config("gpt2", {**PUBLISHED, field: value})
    assert caught.value.key.split(".")[0] == field
