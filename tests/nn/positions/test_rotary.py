"""Rotary positions: scores depend on distances only, and the angles are the paper's."""

import cmath
import math
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers.models.deepseek_v3.modeling_deepseek_v3 import apply_rotary_pos_emb_interleave
from transformers.models.gpt_neox.modeling_gpt_neox import apply_rotary_pos_emb as turn_as_neox
from transformers.models.gptj.modeling_gptj import apply_rotary_pos_emb as turn_as_gptj
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb as turn_as_llama

from zoo.errors import ConfigError
from zoo.models.create import model_config
from zoo.nn.positions import Positions, PositionsShape
from zoo.nn.positions.rotary import RotaryConfig
from zoo.nn.positions.rotary_scaling import RotaryScalingConfig, YarnScalingConfig

K = 6


LAYOUTS = ["half", "interleaved"]


def scheme(theta: float = 10_000.0, **settings: Any) -> Positions:
    return RotaryConfig(theta=theta, **settings).build(PositionsShape(12, 2, K, 16, True))


def turned(x: Tensor, position: int, theta: float = 10_000.0, **settings: Any) -> Tensor:
    module = scheme(theta, **settings)
    return module.rotate(x, x, module.prepare(torch.tensor([[position]]), x.dtype))[0]


@pytest.mark.parametrize("theta", [10_000.0, 500_000.0])
@pytest.mark.parametrize("position", [0, 1, 17, 3000])
@pytest.mark.parametrize("width", [None, 4, 2])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_pairs_turn_as_complex_numbers(layout: str, width: int | None, position: int, theta: float) -> None:
    """Real and imaginary part: neighbours 2i and 2i + 1 (the paper's equation 15), or channels i and i + W/2."""
    x = torch.randn(1, 1, 1, K, dtype=torch.float64)
    found, wide = turned(x, position, theta, width=width, layout=layout).flatten(), width or K
    for i in range(wide // 2):
        real, imaginary = (i, i + wide // 2) if layout == "half" else (2 * i, 2 * i + 1)
        number = complex(x.flatten()[real], x.flatten()[imaginary])
        expected = number * cmath.exp(1j * position * theta ** (-2 * i / wide))
        assert found[real].item() == pytest.approx(expected.real, abs=1e-11)
        assert found[imaginary].item() == pytest.approx(expected.imag, abs=1e-11)
    assert torch.equal(found[wide:], x.flatten()[wide:])


def test_layouts_differ_by_a_permutation_of_the_channels() -> None:
    x, width = torch.randn(2, 3, 1, K, dtype=torch.float64), 4
    order = torch.tensor([0, 2, 1, 3, 4, 5])  # the channels of pair 0, then of pair 1, then what is not turned
    half = turned(x, 7, width=width)
    torch.testing.assert_close(turned(x[..., order], 7, width=width, layout="interleaved"), half[..., order])
    assert not torch.allclose(turned(x, 7, width=width, layout="interleaved"), half)


class Turning:
    """One batch of heads, and what each side makes of it: (B, H, T, K), positions that differ by row."""

    def __init__(self, layout: str, width: int | None) -> None:
        self.q, self.k = torch.randn(2, 2, 3, 5, K, dtype=torch.float64)
        positions = torch.tensor([[0, 1, 2, 3, 4], [7, 3, 900, 0, 41]])
        module, wide = scheme(layout=layout, width=width), width or K
        self.ours = module.rotate(self.q, self.k, module.prepare(positions, torch.float64))
        exact = torch.tensor([10_000.0 ** (-2 * i / wide) for i in range(wide // 2)], dtype=torch.float64)
        angle = positions[..., None] * exact
        self.cosine, self.sine = angle.cos(), angle.sin()
        self.doubled = torch.cat((self.cosine, self.cosine), -1), torch.cat((self.sine, self.sine), -1)


def test_equals_llama() -> None:
    case = Turning("half", None)
    torch.testing.assert_close(case.ours, turn_as_llama(case.q, case.k, *case.doubled))


@pytest.mark.parametrize("width", [2, 4, K])
def test_equals_gpt_neox(width: int) -> None:
    case = Turning("half", width)
    torch.testing.assert_close(case.ours, turn_as_neox(case.q, case.k, *case.doubled))


@pytest.mark.parametrize("width", [2, 4, K])
def test_equals_gptj(width: int) -> None:
    case = Turning("interleaved", width)
    for x, ours in zip((case.q, case.k), case.ours, strict=True):
        x = x.transpose(1, 2)  # theirs has the heads behind the places
        theirs = torch.cat((turn_as_gptj(x[..., :width], case.sine, case.cosine), x[..., width:]), -1)
        torch.testing.assert_close(ours, theirs.transpose(1, 2))


def test_equals_deepseek_up_to_the_order_of_channels() -> None:
    """Theirs hands back the first channels of all pairs, then the second ones; scores do not notice."""
    case = Turning("interleaved", None)
    for ours, theirs in zip(case.ours, apply_rotary_pos_emb_interleave(case.q, case.k, *case.doubled), strict=True):
        torch.testing.assert_close(torch.cat((ours[..., 0::2], ours[..., 1::2]), -1), theirs)


@pytest.mark.parametrize("width", [None, 4])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("scaling", list(RotaryScalingConfig.choices))
def test_scores_depend_on_distances_only(scaling: str, layout: str, width: int | None) -> None:
    pairs = (width or K) // 2
    lists = {"short_factor": (1.5,) * pairs, "long_factor": (2.5,) * pairs} if scaling == "longrope" else {}
    settings = {"scaling": RotaryScalingConfig.choice(scaling)(**lists), "layout": layout, "width": width}
    q, k = torch.randn(2, 1, 1, 1, K, dtype=torch.float64)
    shifts = (0, 1, 50, 4000)
    scores = [(turned(q, 9 + shift, **settings) * turned(k, 4 + shift, **settings)).sum() for shift in shifts]
    torch.testing.assert_close(torch.stack(scores), scores[0].expand(4), rtol=1e-9, atol=1e-9)
    assert (scores[0] - (turned(q, 9, **settings) * turned(k, 5, **settings)).sum()).abs() > 1e-3


@pytest.mark.parametrize("layout", LAYOUTS)
def test_attention_factor_is_on_what_is_turned(layout: str) -> None:
    x, settings = torch.randn(1, 1, 1, K, dtype=torch.float64), {"width": 4, "layout": layout}
    plain = turned(x, 5, **settings, scaling=YarnScalingConfig(factor=2.0, attention_factor=1.0))
    scaled = turned(x, 5, **settings, scaling=YarnScalingConfig(factor=2.0, attention_factor=1.5))
    torch.testing.assert_close(scaled[..., :4], 1.5 * plain[..., :4])
    assert torch.equal(scaled[..., 4:], x[..., 4:])


def test_length_is_kept_and_position_zero_does_nothing() -> None:
    x = torch.randn(1, 1, 1, K, dtype=torch.float64)
    torch.testing.assert_close(turned(x, 123).norm(), x.norm())
    torch.testing.assert_close(turned(x, 0), x)


def test_grouped_keys_turn_like_queries() -> None:
    module = scheme()
    q, k = torch.randn(2, 4, 3, K), torch.randn(2, 1, 3, K)
    tables = module.prepare(torch.arange(3)[None], torch.float32)
    turned_q, turned_k = module.rotate(q, k, tables)
    assert (turned_q.shape, turned_k.shape) == (q.shape, k.shape)
    torch.testing.assert_close(module.rotate(k, k, tables)[0], turned_k)


@pytest.mark.parametrize("dtype, tolerance", [(torch.bfloat16, 0.004), (torch.float32, 1e-7), (torch.float64, 1e-10)])
def test_far_positions_are_rounded_once(dtype: torch.dtype, tolerance: float) -> None:
    """Tables are as good as their dtype; in float32 the angles alone would be off by up to 0.004."""
    module, far = scheme(), [100_000, 99_999, 65_537]
    tables = module.prepare(torch.tensor([far]), dtype)
    assert tables is not None
    for found, function in zip(tables, (math.cos, math.sin), strict=True):
        assert found.dtype == dtype
        expected = [[function(p * 10_000.0 ** (-2 * (c % 3) / K)) for c in range(K)] for p in far]
        torch.testing.assert_close(
            found[0, 0].double(), torch.tensor(expected, dtype=torch.float64), rtol=0, atol=tolerance
        )


def test_odd_head_width_is_refused() -> None:
    with pytest.raises(ConfigError, match="positions: rotary positions need an even head_dim, not head_dim=3"):
        model_config({"kind": "decoder", "dim": 9, "num_heads": 3, "vocab_size": 5}, positions="rotary")


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"width": 3}, "positions.width: 3 must be even and at most head_dim=6"),
        ({"width": 8}, "positions.width: 8 must be even and at most head_dim=6"),
        ({"width": 0}, "positions.width: 0 must be at least 2"),
        ({"layout": "third"}, "positions.layout: 'third' is not one of half, interleaved"),
        ({"theta": 1.0}, "positions.theta: 1.0 must be above 1"),
    ],
)
def test_refusals(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        model_config(
            {"kind": "decoder", "dim": 12, "num_heads": 2, "vocab_size": 5}, positions={"kind": "rotary", **settings}
        )


def test_a_part_of_an_odd_head_may_be_turned() -> None:
    x = torch.randn(1, 2, 3, 5)
    module = RotaryConfig(width=4).build(PositionsShape(10, 2, 5, 16, True))
    tables = module.prepare(torch.arange(3)[None], torch.float32)
    assert torch.equal(module.rotate(x, x, tables)[0][..., 4], x[..., 4])
    config = {"kind": "decoder", "dim": 10, "num_heads": 2, "vocab_size": 5}
    assert model_config(config, positions={"kind": "rotary", "width": 4}).attention_heads.head_dim == 5


def test_a_layer_that_does_not_fit_is_refused_with_its_number() -> None:
    """When the config is loaded, not when the model is built; a layer is judged by its own heads."""
    config = {"kind": "decoder", "dim": 12, "num_layers": 3, "num_heads": 2, "vocab_size": 5, "positions": "rotary"}
    with pytest.raises(
        ConfigError, match=r"layers\.2\.positions: rotary positions need an even head_dim, not head_dim=3"
    ):
        model_config(config, layers={"-1": {"head_dim": 3}})
    with pytest.raises(ConfigError, match=r"layers\.1\.positions\.width: 8 must be even and at most head_dim=6"):
        model_config(config, layers={"1": {"positions": {"width": 8}}})
    assert model_config(config, layers={"1": {"positions": {"width": 8}, "head_dim": 8}})
