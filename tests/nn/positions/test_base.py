"""What holds for every scheme: its hooks, what shifting all positions does, and that positions may differ by row."""

import contextlib

import pytest
import torch
from torch import Tensor

from zoo.errors import DataError
from zoo.models.create import create_model
from zoo.nn.init import BertInitializationConfig, initialize
from zoo.nn.positions import Positions, PositionsConfig, PositionsShape

SHAPE = PositionsShape(dim=8, num_heads=2, head_dim=4, max_length=32, causal=True)
SEES_DISTANCES_ONLY = ["none", "rotary", "alibi", "relative"]
SEES_PLACES = ["learned", "sinusoidal"]


def scheme(kind: str, shape: PositionsShape = SHAPE) -> Positions:
    """The scheme in float64, its weights drawn."""
    module = PositionsConfig.choice(kind)().build(shape).double()
    initialize(module, BertInitializationConfig(std=1.0), seed=0)
    return module


def hidden_states(kind: str, family: str, shift: int) -> Tensor:
    """Of a whole model whose positions all start at `shift`."""
    model = create_model(
        {"kind": family, "dim": 8, "num_layers": 2, "num_heads": 2, "max_length": 32, "vocab_size": 11},
        positions=kind,
        initialization={"kind": "gpt2", "std": 0.3, "position_std": 0.3},
    ).double()
    tokens = torch.arange(12).reshape(2, 6) % 11
    inputs = {"tokens": tokens, "positions": torch.arange(6)[None] + shift}
    if family == "encoder_decoder":
        inputs |= {f"decoder_{name}": values for name, values in inputs.items()}
    return model.backbone(**inputs)


@pytest.mark.parametrize("family", ["encoder", "decoder", "encoder_decoder"])
@pytest.mark.parametrize("kind", SEES_DISTANCES_ONLY)
def test_shifting_every_position_changes_nothing(kind: str, family: str) -> None:
    for shift in (1, 20, 500):
        torch.testing.assert_close(
            hidden_states(kind, family, shift), hidden_states(kind, family, 0), rtol=1e-9, atol=1e-9
        )


@pytest.mark.parametrize("family", ["encoder", "decoder", "encoder_decoder"])
@pytest.mark.parametrize("kind", SEES_PLACES)
def test_shifting_every_position_is_noticed(kind: str, family: str) -> None:
    assert (hidden_states(kind, family, 7) - hidden_states(kind, family, 0)).abs().max() > 1e-2


def test_every_scheme_is_one_or_the_other() -> None:
    assert {*SEES_DISTANCES_ONLY, *SEES_PLACES} <= set(PositionsConfig.choices)


@pytest.mark.parametrize("kind", PositionsConfig.choices)
def test_a_scheme_says_whether_it_ends(kind: str) -> None:
    config, found = PositionsConfig.choice(kind), scheme(kind)
    assert found.num_positions == (SHAPE.max_length if config.has_end else None)
    assert not (config.has_end and config.warns_past_length)
    past, hidden = torch.tensor([[SHAPE.max_length]]), torch.zeros(1, 1, SHAPE.dim, dtype=torch.float64)
    with pytest.raises(DataError, match="position") if config.has_end else contextlib.nullcontext():
        found.embed(hidden, past)


@pytest.mark.parametrize("kind", PositionsConfig.choices)
def test_positions_of_a_row_are_its_own(kind: str) -> None:
    """(B, T) positions give each row what (1, T) positions would give it."""
    module = scheme(kind)
    positions = torch.tensor([[0, 1, 2, 3], [5, 9, 11, 30]])
    hidden = torch.randn(2, 4, SHAPE.dim, dtype=torch.float64)
    q, k = torch.randn(2, 2, 2, 4, SHAPE.head_dim, dtype=torch.float64)
    embedded = module.embed(hidden, positions)
    bias = module.bias(positions, positions, torch.float64)
    turned = module.rotate(q, k, module.prepare(positions, torch.float64))
    for row in range(2):
        here = positions[row : row + 1]
        torch.testing.assert_close(embedded[row : row + 1], module.embed(hidden[row : row + 1], here))
        alone = module.bias(here, here, torch.float64)
        assert (alone is None) == (bias is None)
        if bias is not None:
            torch.testing.assert_close(bias[row : row + 1], alone)
        tables = module.prepare(here, torch.float64)
        for both, one in zip(turned, module.rotate(q[row : row + 1], k[row : row + 1], tables), strict=True):
            torch.testing.assert_close(both[row : row + 1], one)


@pytest.mark.parametrize("kind", PositionsConfig.choices)
def test_each_hook_is_a_no_op_or_works(kind: str) -> None:
    """A scheme enters in one place; in the others it hands back the very tensors it was given."""
    module, positions = scheme(kind), torch.arange(1, 4)[None]
    hidden, q = torch.randn(1, 3, 8, dtype=torch.float64), torch.randn(1, 2, 3, 4, dtype=torch.float64)
    tables = module.prepare(positions, torch.float64)
    acts = [
        module.embed(hidden, positions) is not hidden,
        module.rotate(q, q, tables)[0] is not q,
        module.bias(positions, positions, torch.float64) is not None,
    ]
    assert sum(acts) == (kind != "none")
    assert (tables is not None) == acts[1]


@pytest.mark.parametrize("kind", PositionsConfig.choices)
def test_precision_is_at_least_that_of_float32(kind: str) -> None:
    """Positions far out keep their difference under bfloat16 hidden states."""
    module = PositionsConfig.choice(kind)().build(SHAPE)
    initialize(module, BertInitializationConfig(), seed=0)
    positions = torch.arange(20, 24)[None]
    assert module.embed(torch.zeros(1, 4, 8, dtype=torch.bfloat16), positions).dtype in (torch.bfloat16, torch.float32)
    bias = module.bias(positions, positions, torch.bfloat16)
    assert bias is None or bias.dtype == torch.float32


@pytest.mark.parametrize("kind", PositionsConfig.choices)
def test_a_scheme_with_a_bias_asks_a_kernel_for_it(kind: str) -> None:
    config = PositionsConfig.choice(kind)()
    adds_one = type(config.build(SHAPE)).bias is not Positions.bias
    assert dict(config.features) == ({"bias": f"positions={kind}"} if adds_one else {})
