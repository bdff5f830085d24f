"""The dense layer before an output layer equals its formula."""

import pytest
import torch

from zoo.errors import ConfigError
from zoo.heads.transform import Transform, TransformConfig, transform_layer
from zoo.nn.feed_forward import ACTIVATIONS
from zoo.nn.norm import LayerNormConfig


@pytest.mark.parametrize("activation", ["tanh", "relu", "gelu"])
@pytest.mark.parametrize("bias", [True, False])
def test_formula(activation: str, bias: bool) -> None:
    dense, norm = transform_layer(4, 6, bias).double(), LayerNormConfig().build(6).double()
    with torch.no_grad():
        for parameter in dense.parameters():
            parameter.normal_()
    hidden = torch.randn(2, 3, 4, dtype=torch.float64)
    expected = ACTIVATIONS[activation](hidden @ dense.weight.T + (dense.bias if bias else 0))
    torch.testing.assert_close(Transform(dense, activation, torch.nn.Identity())(hidden), expected)
    torch.testing.assert_close(Transform(dense, activation, norm)(hidden), norm(expected))


def test_dropout_acts_on_what_the_layer_reads_and_changes_no_name() -> None:
    dense = transform_layer(4, 4, True)
    torch.nn.init.eye_(dense.weight)
    torch.nn.init.zeros_(dense.bias)
    dropping = Transform(dense, "relu", torch.nn.Identity(), dropout=0.5)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        assert set(dropping(torch.ones(50, 4)).unique().tolist()) == {0.0, 2.0}
    assert set(dropping.eval()(torch.ones(50, 4)).unique().tolist()) == {1.0}
    assert dropping.state_dict().keys() == Transform(dense, "relu", torch.nn.Identity()).state_dict().keys()


def test_unknown_activation() -> None:
    with pytest.raises(ConfigError, match="activation: unknown activation 'tan'; did you mean 'tanh'"):
        TransformConfig(activation="tan")
