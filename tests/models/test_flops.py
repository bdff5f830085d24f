"""The count of operations equals what torch counts while a model runs, and grows with the row as the formula says."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop, sdpa_flop

from zoo.heads.language_model import LanguageModelHead
from zoo.models import Model, ModelConfig
from zoo.models.create import create_model, model_config
from zoo.models.flops import RowShape, active_parameters, forward_flops, training_flops
from zoo.models.presets import PRESETS
from zoo.nn.attention import Attention

SMALL: dict[str, Any] = {
    "dim": 16,
    "num_layers": 2,
    "num_heads": 4,
    "head_dim": 6,
    "vocab_size": 31,
    "max_length": 64,
    "attention": {"kernel": "reference"},  # torch counts the products of the formula, not those of fused kernels
    "heads": {"language_model": "language_model"},
}
BY_FORMULA: dict[str, Any] = {"attention": {"kernel": "reference"}}
CHANGES: list[dict[str, Any]] = [
    {},
    {"feed_forward": "gated"},
    {"feed_forward": "none"},
    {"feed_forward": {"kind": "mixture", "num_experts": 5, "top_k": 3, "expert": "plain"}},
    {"feed_forward": {"kind": "mixture", "num_shared_experts": 2}, "layers": {"0": {"feed_forward": "plain"}}},
    {"num_kv_heads": 2},
    {"feed_forward_dim": 40, "num_layers": 3},
    {"heads": {"language_model": {"transform": "gelu", "tied": False}}},
    {"placement": "sandwich", "positions": "rotary"},
    {"block": "parallel"},
    {"vocab_multiple": 8},
    {"embedding": {"factorization": {"dim": 6}}},
    {"embedding": {"factorization": {"dim": 6, "order": "tokens"}}, "heads": {"language_model": {"transform": "relu"}}},
    {"sharing": "all"},
    {"attention": {"gate": "head"}},
    {"attention": {"gate": "element"}, "num_kv_heads": 1},
    {"attention": {"shared_query_key": True}},
    {"attention": {"differential": {}, "gate": "head"}, "num_kv_heads": 2},
    {"attention": {"kind": "latent", "kernel": "reference", "value_dim": 5, "gate": "element"}},
    {"attention": {"kind": "latent", "kernel": "reference", "query_rank": 7, "differential": {}}},
    {"layers": {"0": {"feed_forward_dim": 8, "num_heads": 2}}},
]


def one_row(row: RowShape) -> dict[str, Tensor]:
    """Inputs of that size."""
    inputs = {"tokens": torch.zeros(1, row.length, dtype=torch.long)}
    if row.decoder_length:
        inputs["decoder_tokens"] = torch.zeros(1, row.decoder_length, dtype=torch.long)
    return inputs


def counted(model: Model, row: RowShape) -> int:
    """What torch counts in one forward."""
    with FlopCounterMode(display=False) as counter:
        model(**one_row(row))
    return counter.get_total_flops()


def counted_training(model: Model, row: RowShape) -> int:
    """What torch counts in forward, loss and backward, the loss being over the first `scored` positions."""
    with FlopCounterMode(display=False) as counter:
        hidden_BTD = model.backbone(**one_row(row))
        hidden_ND = hidden_BTD.flatten(0, 1)[: int(row.scored)]
        loss = hidden_BTD.new_zeros(())
        for head in model.heads.values():
            if isinstance(head, LanguageModelHead):
                # not the loss of a run, whose chunks add up in place (`addmm_`), which torch's counter does not see
                loss = loss + functional.cross_entropy(head(hidden_ND), torch.zeros(len(hidden_ND), dtype=torch.long))
            else:
                loss = loss + head(hidden_BTD).sum()
        loss.backward()
    return counter.get_total_flops()


@pytest.mark.parametrize("family", ModelConfig.choices)
@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_forward(family: str, changes: dict[str, Any]) -> None:
    model = create_model({**SMALL, "kind": family}, **changes)
    row = RowShape(12, 7, 7) if family == "encoder_decoder" else RowShape(12, 0, 12)
    assert forward_flops(model, row) == counted(model, row)
    assert training_flops(model, row) == counted_training(model, row)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_in_its_own_widths(name: str) -> None:
    """Within 1 %, forward and whole step; on tensors without data, but for experts, whose loads are data.

    Attention is by the formula here, so that torch sees its products one by one; every query meets every key, in causal
    stacks too, in torch's count as in ours.
    """
    experts = name.startswith("deepseek")
    with torch.device("cpu" if experts else "meta"):
        config = model_config(name, num_layers=min(4, model_config(name).num_layers), **BY_FORMULA)
        model = config.build() if experts else config.build_unset()
        row = RowShape(96, 40 if config.kind == "encoder_decoder" else 0, 24)
        assert training_flops(model, row) == pytest.approx(counted_training(model, row), rel=0.01)
        all_scored = row._replace(scored=row.decoder_length or row.length)
        assert forward_flops(model, all_scored) == pytest.approx(counted(model, all_scored), rel=0.01)


def test_fused_attention_as_torch_counts_it() -> None:
    """The forward of the formula, and five products for its four in the backward: scores are computed twice there."""
    config = model_config("llama-nano")
    with torch.device("meta"):
        attention = next(part for part in config.build_unset().modules() if isinstance(part, Attention))
    length, heads = 24, config.attention_heads
    q_BHTK = (1, heads.num_heads, length, heads.head_dim)
    ours = 2 * attention.products * length**2
    assert sdpa_flop(q_BHTK, q_BHTK, q_BHTK) == ours
    assert sdpa_backward_flop(q_BHTK, q_BHTK, q_BHTK, q_BHTK) == 5 / 4 * 2 * ours


def test_sides_that_differ() -> None:
    changes = {"decoder": {"dim": 12, "num_heads": 3, "num_layers": 1}, "share_tokens": False}
    model, row = create_model({**SMALL, "kind": "encoder_decoder"}, **changes), RowShape(12, 7, 7)
    assert forward_flops(model, row) == counted(model, row)


def test_only_scored_positions_reach_the_output_layer() -> None:
    model = create_model({**SMALL, "kind": "encoder"})
    all_of_them, few = (forward_flops(model, RowShape(20, 0, scored)) for scored in (20, 3))
    assert all_of_them - few == 2 * 16 * 31 * 17


def test_a_training_step_is_three_forwards() -> None:
    model, row = create_model({**SMALL, "kind": "decoder"}), RowShape(20, 0, 20)
    assert training_flops(model, row) == 3 * forward_flops(model, row)


def test_active_parameters() -> None:
    """Of 8 experts a token goes through 2: six are idle in each of the layers that have them."""
    settings = {**SMALL, "kind": "decoder"}
    model = create_model(settings, feed_forward="mixture", layers={"0": {"feed_forward": "gated"}})
    expert = 3 * 16 * 64 + 2 * 64 + 16
    assert model.num_parameters - active_parameters(model) == 6 * expert
    dense = create_model(settings)
    assert active_parameters(dense) == dense.num_parameters


def test_known_size() -> None:
    """GPT-2 at its full length: 6 operations for each weight of a product and token, and 12 · layers · dim · length."""
    with torch.device("meta"):
        model = model_config("gpt2").build_unset()
    weights = 12 * 12 * 768**2 + 50257 * 768
    expected = 1024 * (6 * weights + 12 * 12 * 768 * 1024)
    assert training_flops(model, RowShape(1024, 0, 1024)) == expected
