"""ALBERT: what is particular to it. That it equals transformers is in test_parity.py."""

from typing import Any

import pytest
import torch

from zoo.config import build, merged, to_mapping
from zoo.errors import ConfigError
from zoo.interop import read_config, write_config
from zoo.models import ModelConfig

PUBLISHED = {  # config.json of albert/albert-base-v2
    "architectures": ["AlbertForMaskedLM"],
    "attention_probs_dropout_prob": 0,
    "bos_token_id": 2,
    "classifier_dropout_prob": 0.1,
    "down_scale_factor": 1,
    "embedding_size": 128,
    "eos_token_id": 3,
    "gap_size": 0,
    "hidden_act": "gelu_new",
    "hidden_dropout_prob": 0,
    "hidden_size": 768,
    "initializer_range": 0.02,
    "inner_group_num": 1,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 512,
    "model_type": "albert",
    "net_structure_type": 0,
    "num_attention_heads": 12,
    "num_hidden_groups": 1,
    "num_hidden_layers": 12,
    "num_memory_blocks": 0,
    "pad_token_id": 0,
    "type_vocab_size": 2,
    "vocab_size": 30000,
}


def test_published_config() -> None:
    """The paper's table 1: 12M parameters in ALBERT base."""
    config = read_config("albert", PUBLISHED)
    assert config.sharing.kind == "all"
    with torch.device("meta"):
        assert config.build_unset().num_parameters == pytest.approx(12e6, rel=0.07)


def test_groups_there_and_back() -> None:
    for groups, kind in {1: "all", 2: "sequence", 6: "sequence", 12: "none"}.items():
        config = read_config("albert", {**PUBLISHED, "num_hidden_groups": groups})
        assert config.sharing.kind == kind
        assert write_config("albert", config)["num_hidden_groups"] == groups


def test_another_order_of_sharing_has_no_place() -> None:
    changed = merged(to_mapping(read_config("albert", PUBLISHED)), {"sharing": {"kind": "cycle", "num_blocks": 3}})
    with pytest.raises(ConfigError, match=r"sharing\.kind: albert has no place for 'cycle'; there it is 'sequence'"):
        write_config("albert", build(ModelConfig, changed))


@pytest.mark.parametrize(
    "field, value",
    [("inner_group_num", 2), ("hidden_act", "mish"), ("position_embedding_type", "relative_key"), ("num_experts", 2)],
)
def test_fields_that_are_not_covered(field: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config("albert", {**PUBLISHED, field: value})
    assert caught.value.key == field
