"""All sublayers read the same hidden state and are added in one step: the formula, GPT-J and GPT-NeoX, the laws."""

import ast
import inspect
import itertools
import textwrap
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import GPTJConfig, GPTNeoXConfig
from transformers.models.gpt_neox.modeling_gpt_neox import GPTNeoXLayer
from transformers.models.gptj.modeling_gptj import GPTJBlock

from tests.laws import assert_laws, small
from tests.oracle import gradient_difference, gradients, lifted, oracle_model, randomize
from zoo.errors import ConfigError
from zoo.models import ModelConfig
from zoo.nn.attend import KERNELS, Prepared
from zoo.nn.attention import AttentionContext, MultiHeadAttentionConfig, no_rotation
from zoo.nn.block import BlockInputs, Placements, Sublayers
from zoo.nn.feed_forward import PlainFeedForwardConfig
from zoo.nn.layer import DropoutConfig, LayerConfig, Place, build_layer
from zoo.nn.linear import Depth
from zoo.nn.norm import LayerNormConfig
from zoo.nn.parallel_block import ParallelBlock, ParallelBlockConfig
from zoo.nn.positions.base import PositionsShape
from zoo.nn.positions.rotary import RotaryConfig
from zoo.nn.residual import PLACEMENTS, Placement, Wrapping
from zoo.nn.residual_sum import PlainResidualConfig

DIM = 6
X = torch.randn(2, 3, DIM, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
INPUTS = BlockInputs(AttentionContext(KERNELS["reference"], Prepared(None), no_rotation))


class Power(nn.Module):
    """Not linear, so that a norm before it is not one after it; remembers what it was called with."""

    def __init__(self, power: float) -> None:
        super().__init__()
        self.power = power
        self.calls: list[tuple[object, ...]] = []

    def forward(self, hidden_BTD: Tensor, *arguments: object) -> Tensor:
        self.calls.append(arguments)
        return (hidden_BTD.abs() + 0.1) ** self.power


def block(placements: Placements, *, shared_norm: bool = False, sublayers: Sublayers | None = None) -> ParallelBlock:
    sublayers = sublayers or Sublayers(Power(0.5), Power(2), Power(3))
    wrapping = Wrapping(LayerNormConfig(), DIM, 0.0, PlainResidualConfig())
    module = ParallelBlockConfig(shared_norm=shared_norm).build(sublayers, placements, wrapping).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()
    assert isinstance(module, ParallelBlock)
    return module


def step(placement: Placement, branch: Any, hidden: Tensor) -> Tensor:
    """after(sublayer(before(x))), written out."""
    out = branch.sublayer(branch.before(hidden) if placement.before else hidden)
    return branch.after(out) if placement.after else out


# ------------------------------------------------------------------------------------------------------------- formula


@pytest.mark.parametrize("rest", PLACEMENTS)
@pytest.mark.parametrize("attention", PLACEMENTS)
def test_formula(attention: str, rest: str) -> None:
    placements = Placements(PLACEMENTS[attention], PLACEMENTS[rest])
    if placements.self_attention.outer != placements.rest.outer:
        return
    module = block(placements)
    sides = [placements.self_attention, placements.rest, placements.rest]
    parts = [module.self_attention, module.cross_attention, module.feed_forward]
    stream = X + sum(step(side, part, X) for side, part in zip(sides, parts, strict=True))
    torch.testing.assert_close(module(X, INPUTS), module.outer(stream) if placements.rest.outer else stream)
    norms = sum(isinstance(part, nn.LayerNorm) for part in module.modules())
    assert norms == sum(side.before + side.after for side in sides) + placements.rest.outer


@pytest.mark.parametrize("name", ["pre", "sandwich"])
def test_shared_norm(name: str) -> None:
    placement = PLACEMENTS[name]
    module = block(Placements(placement, placement), shared_norm=True)
    normed = module.before(X)
    parts = [module.self_attention, module.cross_attention, module.feed_forward]
    expected = X + sum(step(placement._replace(before=False), part, normed) for part in parts)
    torch.testing.assert_close(module(X, INPUTS), expected)
    assert sum(isinstance(part, nn.LayerNorm) for part in module.modules()) == 1 + 3 * placement.after


@pytest.mark.parametrize("cross, feed_forward", [*itertools.product([False, True], repeat=2)])
def test_absent_sublayers_add_nothing(cross: bool, feed_forward: bool) -> None:
    sublayers = Sublayers(Power(0.5), Power(2) if cross else None, Power(3) if feed_forward else None)
    module = block(Placements(PLACEMENTS["none"], PLACEMENTS["none"]), sublayers=sublayers)
    expected = X + sum((X.abs() + 0.1) ** part.power for part in sublayers if isinstance(part, Power))
    torch.testing.assert_close(module(X, INPUTS), expected)


def test_arguments_reach_the_sublayers() -> None:
    sublayers, memory, cache = Sublayers(Power(1), Power(1), Power(1)), torch.zeros(1), object()
    other = AttentionContext(KERNELS["reference"], Prepared(None, causal=True), no_rotation)
    block(Placements(Placement(), Placement()), sublayers=sublayers)(
        X, BlockInputs(INPUTS.context, memory, other), cache
    )
    calls = [part.calls for part in sublayers if isinstance(part, Power)]
    assert calls == [[(INPUTS.context, None, cache)], [(other, memory)], [()]]


def test_forward_has_no_branch() -> None:
    tree = ast.parse(textwrap.dedent(inspect.getsource(ParallelBlock.forward)))
    assert not any(isinstance(node, ast.If | ast.IfExp | ast.Match | ast.For | ast.While) for node in ast.walk(tree))


def test_dropout_is_of_each_branch() -> None:
    dropped = DropoutConfig(residual=0.999999)
    config = LayerConfig(dim=8, num_heads=2, block=ParallelBlockConfig(), placement="none", dropout=dropped)
    module = build_layer(config, Place(Depth(0, 1, True))).double()
    randomize(module, 1)
    hidden = torch.randn(1, 3, 8, dtype=torch.float64)
    torch.testing.assert_close(module.train()(hidden, INPUTS), hidden)
    assert not torch.allclose(module.eval()(hidden, INPUTS), hidden)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"placement": "post", "attention_placement": "pre"}, "attention_placement: kind 'parallel' adds all"),
        ({"placement": "pre", "attention_placement": "post"}, "attention_placement: kind 'parallel' adds all"),
        ({"placement": "post", "block": {"shared_norm": True}}, r"block\.shared_norm: true shares the norm before"),
        ({"placement": "none", "block": {"shared_norm": True}}, r"block\.shared_norm: true shares the norm before"),
        ({"attention_placement": "none", "block": {"shared_norm": True}}, r"block\.shared_norm: .* leave attention_pl"),
    ],
)
def test_refusals(settings: dict[str, Any], message: str) -> None:
    changes = {**settings, "block": {"kind": "parallel", **settings.get("block", {})}}
    with pytest.raises(ConfigError, match=message):
        small("decoder", **changes)


# ------------------------------------------------------------------------------------------------- released equivalents

NUM_HEADS, WIDTH, INNER, LENGTH = 2, 8, 12, 5
HIDDEN = torch.randn(2, LENGTH, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
ROW = torch.arange(LENGTH)[None]
CAUSAL = torch.ones(LENGTH, LENGTH).tril().bool()

NEOX_NAMES = {
    "self_attention.before": "input_layernorm",
    "self_attention.sublayer.output": "attention.dense",
    "feed_forward.before": "post_attention_layernorm",
    "feed_forward.sublayer.input": "mlp.dense_h_to_4h",
    "feed_forward.sublayer.output": "mlp.dense_4h_to_h",
}
GPTJ_NAMES = {
    "before": "ln_1",
    **{f"self_attention.sublayer.project.{ours}": f"attn.{ours[0]}_proj" for ours in ("query", "key", "value")},
    "self_attention.sublayer.output": "attn.out_proj",
    "feed_forward.sublayer.input": "mlp.fc_in",
    "feed_forward.sublayer.output": "mlp.fc_out",
}


def ours(*, shared_norm: bool, bias: bool, activation: str) -> nn.Module:
    biases = dict.fromkeys(("query_bias", "key_bias", "value_bias", "output_bias"), bias)
    config = LayerConfig(
        dim=WIDTH,
        num_heads=NUM_HEADS,
        feed_forward_dim=INNER,
        block=ParallelBlockConfig(shared_norm=shared_norm),
        attention=MultiHeadAttentionConfig(kernel="reference", **biases),
        feed_forward=PlainFeedForwardConfig(activation=activation),
    )
    return build_layer(config, Place(Depth(0, 1, True))).double()


def filled(module: nn.Module, oracle: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, str]:
    """Copies what has one name on each side; the names of all tensors copied, ours → theirs."""
    copied = {
        f"{mine}.{kind}": f"{theirs}.{kind}"
        for mine, theirs in names.items()
        for kind in ("weight", "bias")
        if f"{theirs}.{kind}" in oracle
    }
    own = dict(module.named_parameters())
    with torch.no_grad():
        for mine, theirs in copied.items():
            own[mine].copy_(oracle[theirs])
    return copied


def run_ours(module: nn.Module, hidden: Tensor, rotate: Any = no_rotation) -> Tensor:
    context = AttentionContext(KERNELS["reference"], Prepared(CAUSAL[None, None]), rotate)
    out: Tensor = module(hidden, BlockInputs(context))
    return out


def rotation(config: RotaryConfig) -> tuple[Any, Any]:
    """The tables of a row, and what turns queries and keys by them."""
    scheme = config.build(PositionsShape(WIDTH, NUM_HEADS, WIDTH // NUM_HEADS, LENGTH, True))
    tables = scheme.prepare(ROW, torch.float64)
    return tables, lambda q, k: scheme.rotate(q, k, tables)


def additive_mask() -> Tensor:
    return torch.zeros(1, 1, LENGTH, LENGTH, dtype=torch.float64).masked_fill(~CAUSAL, -1e300)


def test_gpt_neox() -> None:
    """Two norms, rotation over the whole head; its matrix of queries, keys and values is stacked head by head."""
    config = GPTNeoXConfig(
        hidden_size=WIDTH,
        num_attention_heads=NUM_HEADS,
        intermediate_size=INNER,
        use_parallel_residual=True,
        hidden_act="gelu",
        attn_implementation="eager",
    )
    oracle = oracle_model(lambda config: GPTNeoXLayer(config, 0), config)
    module = ours(shared_norm=False, bias=True, activation="gelu")
    randomize(module, 1)
    parameters = dict(oracle.named_parameters())
    copied = filled(module, parameters, NEOX_NAMES)
    head = WIDTH // NUM_HEADS
    stacked = {f"self_attention.sublayer.project.{name}": index for index, name in enumerate(("query", "key", "value"))}
    own = dict(module.named_parameters())

    def part(tensor: Tensor, index: int) -> Tensor:
        return tensor.unflatten(0, (NUM_HEADS, 3, head))[:, index].flatten(0, 1)

    with torch.no_grad():
        for name, index in stacked.items():
            for kind in ("weight", "bias"):
                own[f"{name}.{kind}"].copy_(part(parameters[f"attention.query_key_value.{kind}"], index))
    tables, rotate = rotation(RotaryConfig())
    with lifted():
        theirs = oracle(HIDDEN, additive_mask(), position_embeddings=tuple(table[:, 0] for table in tables))
    mine = run_ours(module, HIDDEN, rotate)
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-12)
    for out in (mine, theirs):
        (out * torch.arange(WIDTH)).sum().backward()
    found, expected = gradients(module), gradients(oracle)
    wanted = {mine: expected[theirs] for mine, theirs in copied.items()}
    for name, index in stacked.items():
        for kind in ("weight", "bias"):
            wanted[f"{name}.{kind}"] = part(expected[f"attention.query_key_value.{kind}"], index)
    assert gradient_difference(found, wanted)[0] < 1e-12


def test_gptj() -> None:
    """One norm, no biases in attention, rotation of half of each head whose pairs are neighbours."""
    config = GPTJConfig(
        n_embd=WIDTH, n_head=NUM_HEADS, n_inner=INNER, rotary_dim=2, n_positions=LENGTH, attn_implementation="eager"
    )
    oracle = oracle_model(lambda config: GPTJBlock(config, 0), config)
    module = ours(shared_norm=True, bias=False, activation="gelu_tanh")
    copied = filled(module, dict(oracle.named_parameters()), GPTJ_NAMES)
    assert set(copied) == {name for name, _ in module.named_parameters()}
    with lifted():
        theirs, _ = oracle(HIDDEN, attention_mask=additive_mask(), position_ids=ROW.expand(2, -1))
    mine = run_ours(module, HIDDEN, rotation(RotaryConfig(width=2, layout="interleaved"))[1])
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-12)
    for out in (mine, theirs):
        (out * torch.arange(WIDTH)).sum().backward()
    wanted = {name: gradients(oracle)[copied[name]] for name in copied}
    assert gradient_difference(gradients(module), wanted)[0] < 1e-12


# ---------------------------------------------------------------------------------------------------------------- laws


@pytest.mark.parametrize("family", ModelConfig.choices)
@pytest.mark.parametrize("shared_norm", [False, True])
def test_laws(family: str, shared_norm: bool) -> None:
    assert_laws(small(family, block={"kind": "parallel", "shared_norm": shared_norm}, positions="rotary"))


@pytest.mark.parametrize("placement", ["post", "sandwich", "branch_output"])
def test_laws_with_other_placements(placement: str) -> None:
    assert_laws(small("encoder_decoder", block="parallel", placement=placement))


def test_laws_with_a_first_layer_that_differs() -> None:
    assert_laws(small("decoder", block="parallel", layers={"0": {"attention_placement": "none"}}))
