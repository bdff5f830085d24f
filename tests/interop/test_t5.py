"""T5 and T5 v1.1 equal transformers' T5ForConditionalGeneration, and only with the right config."""

from typing import Any

import pytest
import torch
from transformers import T5Config

from tests.interop.mutations import mutated
from tests.interop.parity import foreign_config, oracle
from zoo.config import difference
from zoo.errors import CheckpointError, ConfigError
from zoo.interop import read_config, to_zoo, write_config
from zoo.models.create import model_config

NAMES = ["t5", "t5 v1.1"]
SMALL = {  # config.json of google-t5/t5-small
    "architectures": ["T5ForConditionalGeneration"],
    "d_ff": 2048,
    "d_kv": 64,
    "d_model": 512,
    "decoder_start_token_id": 0,
    "dropout_rate": 0.1,
    "eos_token_id": 1,
    "initializer_factor": 1.0,
    "is_encoder_decoder": True,
    "layer_norm_epsilon": 1e-06,
    "model_type": "t5",
    "n_positions": 512,
    "num_heads": 8,
    "num_layers": 6,
    "output_past": True,
    "pad_token_id": 0,
    "relative_attention_num_buckets": 32,
    "task_specific_params": {"summarization": {"max_length": 200}},
    "vocab_size": 32128,
}
V1_1_SMALL = {  # config.json of google/t5-v1_1-small
    **{name: value for name, value in SMALL.items() if name not in ("n_positions", "task_specific_params")},
    "d_ff": 1024,
    "feed_forward_proj": "gated-gelu",
    "num_decoder_layers": 8,
    "num_heads": 6,
    "num_layers": 8,
    "tie_word_embeddings": False,
    "use_cache": True,
}
FLAN_SMALL = {  # config.json of google/flan-t5-small
    **V1_1_SMALL,
    "dense_act_fn": "gelu_new",
    "is_gated_act": True,
    "n_positions": 512,
    "relative_attention_max_distance": 128,
    "task_specific_params": {"summarization": {"max_length": 200}},
    "transformers_version": "4.23.1",
}
SIGNAL = {"tie_word_embeddings": False, "feed_forward_proj": "gated-gelu"}


def test_the_table_and_a_free_output_layer_are_told_apart() -> None:
    """The oracle of v1.1 has an output layer of its own, or this parity would say nothing about it."""
    weights = oracle("t5 v1.1").state_dict()
    assert not torch.equal(weights["lm_head.weight"], weights["shared.weight"])


def test_segments_are_refused() -> None:
    with pytest.raises(ConfigError, match="segments"):
        mutated(read_config("t5", foreign_config("t5")), "embedding.num_segments", 2)


def test_biases_of_cross_attention_are_no_weights() -> None:
    unused = {"decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight": torch.ones(8, 3)}
    assert to_zoo("t5", oracle("t5").state_dict() | unused, foreign_config("t5"))


def test_another_output_layer_where_the_config_ties_it() -> None:
    weights = oracle("t5").state_dict()
    with pytest.raises(CheckpointError, match=r"shared, yet not equal: shared\.weight and .*lm_head\.weight"):
        to_zoo("t5", weights | {"lm_head.weight": weights["shared.weight"] + 1}, foreign_config("t5"))


@pytest.mark.parametrize("foreign", [SMALL, T5Config().to_dict()], ids=["published", "transformers"])
def test_preset_small(foreign: dict[str, Any]) -> None:
    read = read_config("t5", {**foreign, "num_decoder_layers": None})
    assert difference(model_config("t5-small"), read) == []


@pytest.mark.parametrize(
    "foreign",
    [V1_1_SMALL, T5Config(d_ff=1024, num_layers=8, num_heads=6, **SIGNAL).to_dict()],
    ids=["published", "transformers"],
)
def test_preset_v1_1_small(foreign: dict[str, Any]) -> None:
    """The published file has the dropout of fine-tuning; the preset has that of pretraining: none."""
    expected = model_config("t5-v1.1-small", dropout=model_config("t5-small").dropout)
    assert difference(expected, read_config("t5", foreign)) == []
    assert model_config("t5-v1.1-small").dropout.residual == 0


def test_flan_t5_is_t5_v1_1() -> None:
    assert read_config("t5", FLAN_SMALL) == read_config("t5", V1_1_SMALL)


def test_preset_is_written_so_that_transformers_reads_it() -> None:
    written = T5Config(**write_config("t5", model_config("t5-v1.1-small")))
    assert (written.scale_decoder_outputs, written.dense_act_fn, written.is_gated_act) == (False, "gelu_new", True)
    again = read_config("t5", written.to_dict())
    assert difference(model_config("t5-v1.1-small"), again) == []


def test_the_two_signals_of_a_free_output_layer() -> None:
    """Files of v1.1 say tie_word_embeddings=false; what transformers 5 saves says scale_decoder_outputs=false."""
    assert read_config("t5", {"tie_word_embeddings": False}) == read_config("t5", {"scale_decoder_outputs": False})
    assert read_config("t5", {"tie_word_embeddings": True}) == read_config("t5", {})


@pytest.mark.parametrize(
    "field, value",
    [
        ("feed_forward_proj", "gated-mish"),
        ("dense_act_fn", "silu"),
        ("is_gated_act", True),
        ("is_encoder_decoder", False),
        ("encoder_layerdrop", 0.1),
    ],
)
def test_fields_that_are_not_covered(field: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config("t5", {**SMALL, field: value})
    assert caught.value.key.split(".")[0] == field
