"""Sinks are gpt-oss's, start at "off by one", and let a head attend to nothing."""

from types import SimpleNamespace

import pytest
import torch
from transformers.models.gpt_oss.modeling_gpt_oss import eager_attention_forward

from tests.nn.attend.cases import DIFFERENTIABLE
from tests.nn.test_attention import HEADS, B, D, M, S, T, attention, context
from zoo.nn.attend import KERNELS
from zoo.nn.attention import Attention, MultiHeadAttentionConfig
from zoo.nn.init import start_of
from zoo.nn.linear import Linear
from zoo.nn.mask import AttentionMask
from zoo.nn.sinks import LearnedSinks, LearnedSinksConfig, NoSinksConfig, SinksConfig, ZeroSinksConfig

ABLE = [name for name in DIFFERENTIABLE if "sinks" in KERNELS[name].features]


def with_sinks(kernel: str, sinks: SinksConfig, memory_dim: int = D) -> Attention:
    return attention(MultiHeadAttentionConfig(kernel=kernel, sinks=sinks), memory_dim=memory_dim)


@pytest.mark.parametrize("kernel", ABLE)
def test_learned_sinks_are_those_of_gpt_oss(kernel: str) -> None:
    module = with_sinks(kernel, LearnedSinksConfig())
    hidden = torch.randn(B, T, D, dtype=torch.float64)
    visible = torch.ones(T, T).tril().bool()
    theirs = SimpleNamespace(num_key_value_groups=2, sinks=module.scoring.sinks.logits, training=False)
    bias = torch.zeros(1, 1, T, T, dtype=torch.float64).masked_fill(~visible, -torch.inf)
    scale = HEADS.head_dim**-0.5
    out_BTHK, _ = eager_attention_forward(theirs, *module.project(hidden, hidden), bias, scale)
    found = module(hidden, context(kernel, AttentionMask(causal=True)))
    expected = module.output(out_BTHK.flatten(2))
    torch.testing.assert_close(found, expected)
    parameters = list(module.parameters())
    ours, gradients = (torch.autograd.grad(out.pow(2).sum(), parameters) for out in (found, expected))
    torch.testing.assert_close(ours, gradients)


@pytest.mark.parametrize("kernel", ABLE)
@pytest.mark.parametrize("cross", [False, True])
def test_zero_sinks_are_learned_ones_at_their_start(kernel: str, cross: bool) -> None:
    zero = with_sinks(kernel, ZeroSinksConfig(), M if cross else D)
    learned = with_sinks(kernel, LearnedSinksConfig(), M if cross else D)
    start = start_of(learned.scoring.sinks, "logits")
    assert isinstance(start, float)
    start_H = torch.full((HEADS.num_heads,), start)
    learned.load_state_dict({**zero.state_dict(), "scoring.sinks.logits": start_H})
    hidden = torch.randn(B, T, D, dtype=torch.float64)
    memory = torch.randn(B, S, M, dtype=torch.float64) if cross else None
    around = context(kernel, AttentionMask(), S if cross else T)
    torch.testing.assert_close(zero(hidden, around, memory), learned(hidden, around, memory))
    plain = with_sinks(kernel, NoSinksConfig(), M if cross else D)
    plain.load_state_dict(zero.state_dict())
    assert not torch.allclose(zero(hidden, around, memory), plain(hidden, around, memory))


@pytest.mark.parametrize("kernel", ABLE)
def test_a_head_can_attend_to_nothing(kernel: str) -> None:
    """A deep sink takes all weight: what is left is the bias of the output."""
    module = with_sinks(kernel, LearnedSinksConfig())
    assert isinstance(module.scoring.sinks, LearnedSinks)
    assert isinstance(module.output, Linear)
    with torch.no_grad():
        module.scoring.sinks.logits.fill_(1e4)
    hidden = torch.randn(B, T, D, dtype=torch.float64)
    out = module(hidden, context(kernel, AttentionMask()))
    torch.testing.assert_close(out, module.output.bias.expand_as(out))


def test_kinds() -> None:
    assert set(SinksConfig.choices) == {"none", "zero", "learned"}
    assert [ZeroSinksConfig().features, NoSinksConfig().features] == [{"sinks": "sinks=zero"}, {}]
