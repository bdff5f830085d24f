"""RoBERTa: what is particular to it. That it equals transformers is in test_parity.py."""

from typing import Any

import pytest
import torch

from tests.interop.parity import oracle, our_model
from tests.oracle import lifted, relative
from zoo.errors import ConfigError
from zoo.interop import read_config, write_config
from zoo.models.create import model_config

PUBLISHED = {  # config.json of FacebookAI/roberta-base
    "architectures": ["RobertaForMaskedLM"],
    "attention_probs_dropout_prob": 0.1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 768,
    "initializer_range": 0.02,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-05,
    "max_position_embeddings": 514,
    "model_type": "roberta",
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "pad_token_id": 1,
    "type_vocab_size": 1,
    "vocab_size": 50265,
}


def test_published_config() -> None:
    config = read_config("roberta", PUBLISHED)
    assert (config.max_length, config.positions.offset) == (512, 2)  # type: ignore[attr-defined]
    assert write_config("roberta", config)["max_position_embeddings"] == 514


@pytest.mark.parametrize("side", ["left", "right"])
def test_positions_are_counted_as_theirs_counts_them(side: str) -> None:
    """Without position ids theirs counts what is no padding, from the row behind that of padding."""
    real = torch.arange(7)[None] < torch.tensor([[7], [4]])
    real = real if side == "right" else real.flip(1)
    tokens = torch.where(real, torch.arange(14).view(2, 7) + 5, 1)
    with lifted(), torch.no_grad():
        model: Any = oracle("roberta")
        model.set_attn_implementation("eager" if side == "right" else "sdpa")
        theirs = model(input_ids=tokens, attention_mask=real.long()).logits[real]
        documents = torch.where(real, 0, -1)
        positions = (real.cumsum(1) - 1).clamp(min=0)
        ours = our_model("roberta")(tokens=tokens, documents=documents, positions=positions)["language_model"][real]
    assert relative(ours, theirs) < 1e-13


def test_a_place_for_bert_without_the_pair() -> None:
    """A BERT of ours whose positions start behind the padding token is a RoBERTa."""
    changes: dict[str, Any] = {"heads": {"next_sentence": None}, "embedding": {"padding_token": 3}}
    written = write_config("roberta", model_config("bert-nano", **changes, positions={"kind": "learned", "offset": 4}))
    assert written["max_position_embeddings"] == model_config("bert-nano").max_length + 4
    with pytest.raises(ConfigError, match=r"^positions\.offset: roberta has no place for 2; there it is 4$"):
        write_config("roberta", model_config("bert-nano", **changes, positions={"kind": "learned", "offset": 2}))
    changes["embedding"] = {"padding_token": None}
    with pytest.raises(ConfigError, match=r"^embedding\.padding_token: .*set it to positions\.offset − 1 = 1$"):
        write_config("roberta", model_config("bert-nano", **changes, positions={"kind": "learned", "offset": 2}))


@pytest.mark.parametrize(
    "field, value",
    [
        ("pad_token_id", None),
        ("max_position_embeddings", 2),
        ("is_decoder", True),
        ("tie_word_embeddings", False),
        ("position_embedding_type", "relative_key"),
        ("embedding_size", 128),
    ],
)
def test_fields_that_are_not_covered(field: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config("roberta", {**PUBLISHED, field: value})
    assert caught.value.key == field
