"""ALiBi's slopes are the paper's, and its biases fall off linearly on both sides."""

from typing import Any

import pytest
import torch
from transformers.models.bloom.modeling_bloom import build_alibi_tensor

from zoo.errors import ConfigError
from zoo.models.create import model_config
from zoo.nn.positions import PositionsShape
from zoo.nn.positions.alibi import AlibiConfig, alibi_slopes


def test_slopes_of_eight_heads() -> None:
    """Section 3: 1/2, 1/4, …, 1/256."""
    assert alibi_slopes(8) == [2.0**-n for n in range(1, 9)]


def test_slopes_of_sixteen_heads() -> None:
    """Section 3: interpolated geometrically, 1/2^0.5, 1/2^1, 1/2^1.5, …, 1/2^8."""
    assert alibi_slopes(16) == pytest.approx([2.0 ** (-n / 2) for n in range(1, 17)])


# of the paper's released code: the slopes of 8 heads, then every other one of 16
TWELVE = [2.0**-n for n in range(1, 9)] + [2.0**-0.5, 2.0**-1.5, 2.0**-2.5, 2.0**-3.5]


@pytest.mark.parametrize(
    "num_heads, expected",
    [
        (1, [2.0**-8]),
        (2, [2.0**-4, 2.0**-8]),
        (3, [2.0**-4, 2.0**-8, 2.0**-2]),
        (6, [2.0**-2, 2.0**-4, 2.0**-6, 2.0**-8, 2.0**-1, 2.0**-3]),
        (12, TWELVE),
    ],
)
def test_slopes_of_other_counts(num_heads: int, expected: list[float]) -> None:
    assert alibi_slopes(num_heads) == pytest.approx(expected)


@pytest.mark.parametrize("num_heads", range(1, 65))
def test_slopes_are_distinct_and_between_zero_and_one(num_heads: int) -> None:
    slopes = alibi_slopes(num_heads)
    assert len(set(slopes)) == len(slopes) == num_heads
    assert all(0 < slope < 1 for slope in slopes)


@pytest.mark.parametrize("right", [1.0, 0.0, 0.5, 3.0])
@pytest.mark.parametrize("causal", [False, True])
def test_bias(causal: bool, right: float) -> None:
    module = AlibiConfig(right=right).build(PositionsShape(16, 8, 2, 16, causal))
    queries, keys = torch.tensor([[3, 9]]), torch.tensor([[0, 3, 5, 40]])
    bias = module.bias(queries, keys, torch.float64)
    assert bias is not None
    assert bias.shape == (1, 8, 2, 4)
    for head in range(8):
        factors = [[right if key > query else 1.0 for key in keys[0]] for query in queries[0]]
        distances = [
            [factor * abs(k - q) for k, factor in zip(keys[0], row, strict=True)]
            for q, row in zip(queries[0], factors, strict=True)
        ]
        expected = [[-(2.0 ** -(head + 1)) * distance for distance in row] for row in distances]
        torch.testing.assert_close(bias[0, head], torch.tensor(expected, dtype=torch.float64))
    assert not list(module.parameters())


@pytest.mark.parametrize("num_heads", [4, 6])
def test_equals_bloom_under_the_softmax(num_heads: int) -> None:
    """BLOOM adds slope · key position, counted over what is no padding: the same but for a constant of each query."""
    real = torch.tensor([[1, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]])
    positions = (real.cumsum(-1) - 1).clamp(min=0)
    ours = AlibiConfig().build(PositionsShape(8, num_heads, 2, 16, True)).bias(positions, positions, torch.float64)
    theirs = build_alibi_tensor(real, num_heads, torch.float64).reshape(3, num_heads, 1, 6)
    visible = torch.tril(torch.ones(6, 6)).bool() & real.bool()[:, None, None, :] & real.bool()[:, None, :, None]
    scores = torch.randn(3, num_heads, 6, 6, dtype=torch.float64)
    one, other = (
        torch.softmax((scores + bias).masked_fill(~visible, -1e9), dim=-1)[visible.expand(-1, num_heads, -1, -1)]
        for bias in (ours, theirs)
    )
    torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)  # theirs has slopes in float32


@pytest.mark.parametrize("family", ["encoder", "encoder_decoder"])
def test_sides_may_differ_where_both_are_seen(family: str) -> None:
    """The order of what lies around a query matters, which symmetric slopes cannot tell from its mirror image."""
    for right, tells in ((1.0, False), (0.5, True)):
        model = model_config(
            {"kind": family, "dim": 8, "num_layers": 1, "num_heads": 2, "vocab_size": 11},
            positions={"kind": "alibi", "right": right},
            initialization={"kind": "bert", "std": 0.5},
        ).build()
        backbone = model.double().backbone
        encode = (
            backbone if family == "encoder" else lambda tokens, backbone=backbone: backbone.encode(tokens).hidden_BSD
        )
        tokens = torch.tensor([[3, 1, 4, 5, 9]])
        gap = (encode(tokens=tokens)[:, 2] - encode(tokens=tokens.flip(1))[:, 2]).abs().max()
        assert (gap > 1e-4) == tells


@pytest.mark.parametrize(
    "settings, key",
    [
        ({"positions": {"kind": "alibi", "right": 2.0}}, "positions.right"),
        (
            {"positions": "rotary", "layers": {"0": {"positions": {"kind": "alibi", "right": 2.0}}}},
            "layers.0.positions.right",
        ),
    ],
)
def test_right_side_of_a_decoder_is_refused(settings: dict[str, Any], key: str) -> None:
    config = {"kind": "decoder", "dim": 8, "num_layers": 2, "num_heads": 2, "vocab_size": 11}
    with pytest.raises(ConfigError, match=f"{key}: 2.0 has no effect in a model whose stacks are all causal"):
        model_config(config, **settings)
