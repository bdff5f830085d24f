"""The wrapper equals its formula, slot by slot, and the table of placements says what the papers say."""

import pytest
import torch
from torch import Tensor, nn

from zoo.errors import ConfigError
from zoo.models.create import create_model
from zoo.nn.norm import LayerNormConfig
from zoo.nn.residual import PLACEMENTS, Placement, Residual, StochasticDepth, Wrapping
from zoo.nn.residual_sum import PlainResidualConfig

DIM = 6
FORMULAS = {
    "pre": lambda x, f, r: x + f(r.before(x)),
    "post": lambda x, f, r: r.outer(x + f(x)),
    "sandwich": lambda x, f, r: x + r.after(f(r.before(x))),
    "branch_output": lambda x, f, r: x + r.after(f(x)),
    "none": lambda x, f, r: x + f(x),
}


class Shift(nn.Module):
    """A sublayer that takes an argument."""

    def forward(self, hidden_BTD: Tensor, shift: float) -> Tensor:
        """Not linear, so that a norm before it is not one after it."""
        return hidden_BTD.square() + shift


def residual(placement: Placement, dropout: float = 0.0) -> Residual:
    module = Residual(Shift(), placement, Wrapping(LayerNormConfig(), DIM, dropout, PlainResidualConfig())).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()
    return module


def test_every_placement_has_a_formula_here() -> None:
    assert set(FORMULAS) == set(PLACEMENTS)


@pytest.mark.parametrize("name", PLACEMENTS)
def test_formula(name: str) -> None:
    module, x = residual(PLACEMENTS[name]), torch.randn(2, 3, DIM, dtype=torch.float64)
    expected = FORMULAS[name](x, lambda y: y.square() + 0.5, module)
    torch.testing.assert_close(module(x, 0.5), expected)
    norms = sum(isinstance(part, nn.LayerNorm) for part in module.modules())
    assert norms == sum(PLACEMENTS[name])


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("outer", [False, True])
def test_slots_are_independent(before: bool, after: bool, outer: bool) -> None:
    module = residual(Placement(before, after, outer))
    x = torch.randn(2, 3, DIM, dtype=torch.float64)
    branch = (module.before(x) if before else x).square() + 1.0
    stream = x + (module.after(branch) if after else branch)
    torch.testing.assert_close(module(x, 1.0), module.outer(stream) if outer else stream)
    assert tuple(not isinstance(slot, nn.Identity) for slot in (module.before, module.after, module.outer)) == (
        before,
        after,
        outer,
    )


def test_final_norm_is_derived() -> None:
    """A stack ends with a norm where its residual stream has not just been through one, and norms are used at all."""
    needs = {name: placement.needs_final_norm for name, placement in PLACEMENTS.items()}
    assert needs == {"pre": True, "post": False, "sandwich": True, "branch_output": True, "none": False}


def test_dropout_acts_on_the_branch() -> None:
    x = torch.randn(2, 3, DIM, dtype=torch.float64)
    for name in ("pre", "sandwich", "branch_output", "none"):
        module = residual(PLACEMENTS[name], dropout=0.999999)
        torch.testing.assert_close(module.train()(x, 1.0), x)
        assert not torch.allclose(module.eval()(x, 1.0), x)
    module = residual(PLACEMENTS["post"], dropout=0.999999)
    torch.testing.assert_close(module.train()(x, 1.0), module.outer(x))


# ----------------------------------------------------------------------------------------------------- stochastic depth


def test_stochastic_depth_drops_whole_rows_and_scales_the_rest() -> None:
    x = torch.randn(400, 2, DIM, dtype=torch.float64)
    torch.manual_seed(0)
    found = StochasticDepth(0.3)(x)
    dropped = (found == 0).all(dim=(1, 2))
    assert 0.2 < dropped.double().mean() < 0.4
    torch.testing.assert_close(found[~dropped], x[~dropped] / 0.7)
    assert torch.equal(StochasticDepth(0.3).eval()(x), x)


def test_stochastic_depth_comes_from_the_seeded_generator() -> None:
    x = torch.randn(50, 2, DIM)
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(StochasticDepth(0.5)(x))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


@pytest.mark.parametrize("name", PLACEMENTS)
def test_a_dropped_branch_leaves_the_stream(name: str) -> None:
    wrapping = Wrapping(LayerNormConfig(), DIM, 0.0, PlainResidualConfig(), branch_dropout=0.999999)
    module, x = Residual(Shift(), PLACEMENTS[name], wrapping).double(), torch.randn(2, 3, DIM, dtype=torch.float64)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()
    torch.testing.assert_close(module(x, 0.5), module.outer(x))
    assert not torch.allclose(module.eval()(x, 0.5), module.outer(x))


@pytest.mark.parametrize("block", ["sequential", "parallel"])
def test_rates_grow_to_that_of_the_last_layer(block: str) -> None:
    settings = {"kind": "encoder_decoder", "dim": 8, "num_layers": 4, "decoder": {"num_layers": 2}, "num_heads": 2}
    model = create_model({**settings, "vocab_size": 9, "block": block, "dropout": {"depth": 0.4}})
    for side, num_layers, branches in (("encoder", 4, 2), ("decoder", 2, 3)):
        for layer, part in enumerate(getattr(model.backbone, side).blocks):
            rates = [module.rate for module in part.modules() if isinstance(module, StochasticDepth)]
            assert rates == pytest.approx([0.4 * (layer + 1) / num_layers] * branches)


def test_layers_that_share_weights_have_no_rates_of_their_own() -> None:
    with pytest.raises(ConfigError, match=r"dropout\.depth: 0\.2 .*sharing: all"):
        create_model({"kind": "decoder", "vocab_size": 9, "sharing": "all", "dropout": {"depth": 0.2}})
