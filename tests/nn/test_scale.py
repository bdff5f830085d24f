"""The factor on the scores is the one that was chosen, in self- and cross-attention, and trained where it should be."""

import pytest
import torch

from tests.nn.attend.cases import DIFFERENTIABLE
from tests.nn.test_attention import HEADS, B, D, M, S, T, attention, context
from zoo.errors import ConfigError
from zoo.nn.attention import MultiHeadAttentionConfig
from zoo.nn.mask import AttentionMask
from zoo.nn.scale import (
    ConstantScaleConfig,
    InverseScaleConfig,
    InverseSqrtScaleConfig,
    LearnedScaleConfig,
    ScaleConfig,
)

SAME = ConstantScaleConfig(value=HEADS.head_dim**-0.5)


@pytest.mark.parametrize(
    "scale, factor",
    [
        (InverseSqrtScaleConfig(), 0.125),
        (InverseScaleConfig(), 1 / 64),
        (ConstantScaleConfig(), 1.0),
        (ConstantScaleConfig(value=0.3), 0.3),
        (LearnedScaleConfig(), 0.125),
    ],
)
def test_factor(scale: ScaleConfig, factor: float) -> None:
    assert scale.factor(64) == factor


def test_every_kind_is_tested() -> None:
    assert set(ScaleConfig.choices) == {"inverse_sqrt", "inverse", "constant", "learned"}


@pytest.mark.parametrize("kernel", DIFFERENTIABLE)
@pytest.mark.parametrize("memory_dim", [None, M])
def test_only_the_product_of_scale_and_queries_matters(kernel: str, memory_dim: int | None) -> None:
    """A trained factor is that of queries that were projected so much larger, one head or all."""
    hidden = torch.randn(B, T, D, dtype=torch.float64)
    memory = None if memory_dim is None else torch.randn(B, S, M, dtype=torch.float64)
    inputs = (hidden, context(kernel, AttentionMask(), S if memory_dim else T), memory)
    for per_head in (True, False):
        config = MultiHeadAttentionConfig(kernel=kernel, scale=LearnedScaleConfig(per_head=per_head))
        module = attention(config, memory_dim=memory_dim or D)
        plain = attention(MultiHeadAttentionConfig(kernel=kernel, scale=SAME), memory_dim=memory_dim or D)
        plain.load_state_dict({n: w for n, w in module.state_dict().items() if n != "scale.weight"})
        factors = module.scale.weight
        assert factors.shape == ((HEADS.num_heads,) if per_head else (1,))
        with torch.no_grad():
            each = factors.expand(HEADS.num_heads).repeat_interleave(HEADS.head_dim)
            plain.project.query.weight *= each[:, None]
            plain.project.query.bias *= each
        out = module(*inputs)
        torch.testing.assert_close(out, plain(*inputs))
        (gradient,) = torch.autograd.grad(out.pow(2).sum(), factors)
        assert (gradient != 0).all()


def test_queries_keep_their_dtype() -> None:
    """Kernels take queries and keys of one dtype, and under autocast parameters have another."""
    module = LearnedScaleConfig().build(2)
    assert module(torch.ones(1, 2, 3, 4, dtype=torch.bfloat16)).dtype is torch.bfloat16


def test_a_scale_is_above_zero() -> None:
    with pytest.raises(ConfigError, match=r"value: 0.0 must be above 0"):
        ConstantScaleConfig(value=0.0)
