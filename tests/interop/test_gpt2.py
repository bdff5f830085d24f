"""GPT-2 equals transformers' GPT2LMHeadModel, and only with the right config."""

from typing import Any

import pytest
import torch
from transformers import GPT2Config

from tests.interop.mutations import MOVES, MUTATIONS, UNSEEN, mutated, mutation_effect, untested_fields
from tests.interop.parity import CASES, TOLERANCE, foreign_config, oracle, our_model, parity, round_trip
from zoo.config import difference
from zoo.errors import ConfigError
from zoo.interop import read_config, to_zoo
from zoo.models.create import model_config
from zoo.nn import loss

NAME = "gpt2"
NAMES = [NAME, "gpt2 untied and unscaled"]
MUTATED: dict[str, Any] = MUTATIONS | {
    "kind": "encoder",
    "num_heads": 5,
    "num_kv_heads": 1,
    "attention.query_bias": False,
    "attention.value_bias": False,
    "attention.output_bias": False,
    "norm.kind": "rms_norm",
    "norm.bias": False,
    "positions.kind": "alibi",
    "feed_forward.kind": "gated",
    "feed_forward.activation": "gelu",
    "feed_forward.bias": False,
    "placement": "post",
    "embedding.norm": True,
    "embedding.num_segments": 2,
    "embedding.padding_token": 0,
    "heads.language_model.tied": False,
    "heads.language_model.bias": True,
    "heads.language_model.transform": "gelu",
}
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


@pytest.mark.parametrize("kernel", ["reference", "sdpa"])
@pytest.mark.parametrize("padding", ["left", "right"])
@pytest.mark.parametrize("name", NAMES)
def test_parity(name: str, padding: str, kernel: str) -> None:
    assert max(parity(name, padding, kernel)) < TOLERANCE


@pytest.mark.parametrize("name", NAMES)
def test_parity_of_the_loss_in_chunks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss, "CHUNK_ELEMENTS", 3 * CASES[name].config.vocab_size)
    assert max(parity(name, "right", "sdpa")) < TOLERANCE
    assert max(parity(name, "left", "sdpa", gather=True)) < TOLERANCE


@pytest.mark.parametrize("name", NAMES)
def test_round_trip(name: str) -> None:
    round_trip(name)


def test_unchanged_config_is_the_baseline_of_the_mutations() -> None:
    assert mutation_effect(NAME, "", None) < TOLERANCE
    assert untested_fields(NAME, {**MUTATED, "attention.key_bias": False}, UNSEEN) == set()


@pytest.mark.parametrize("path", MUTATED)
def test_mutated_config_breaks_parity(path: str) -> None:
    assert mutation_effect(NAME, path, MUTATED[path]) > MOVES


def test_a_key_bias_cannot_be_seen_but_does_not_fit() -> None:
    """It adds the same to all scores of a query, which softmax takes out; a model without it has other weights."""
    assert mutation_effect(NAME, "attention.key_bias", False) < TOLERANCE
    model = our_model(NAME)
    with pytest.raises(RuntimeError, match=r"key\.bias"):
        mutated(model.config, "attention.key_bias", False).build_unset().load_state_dict(model.state_dict())


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
