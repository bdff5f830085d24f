"""A mixture equals its formula and the oracle's blocks, drops nothing, and treats each token by itself."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import DeepseekV3Config, MixtralConfig
from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3MoE
from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock

from tests.oracle import gradients, lifted, oracle_model, relative
from zoo.errors import ConfigError
from zoo.generation.cache import GrowingCache
from zoo.models.create import create_model, model_config
from zoo.nn.balancing import BiasBalancing, BiasBalancingConfig
from zoo.nn.block import Block
from zoo.nn.feed_forward import FeedForwardShape, GatedFeedForward, PlainFeedForwardConfig
from zoo.nn.mixture import Mixture, MixtureConfig
from zoo.nn.router import ExpertGroupsConfig, RouterConfig

DIM, INNER = 6, 10


def mixture(**settings: Any) -> Mixture:
    module = MixtureConfig(**settings).build(FeedForwardShape(DIM, INNER)).double()
    assert isinstance(module, Mixture)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()
    return module


def hidden(*shape: int) -> Tensor:
    return torch.randn(*shape, DIM, dtype=torch.float64, requires_grad=True)


SHAPES: list[dict[str, Any]] = [
    {},
    {"expert": "plain", "activation": "gelu", "bias": False},
    {"num_experts": 5, "top_k": 3, "num_shared_experts": 2},
    {"num_experts": 3, "top_k": 1, "router": RouterConfig(scoring="sigmoid", normalize=False, scale=2.0)},
    {"num_experts": 6, "top_k": 2, "router": RouterConfig(groups=ExpertGroupsConfig(num_groups=3, top_groups=1))},
]


# ---------------------------------------------------------------------------------------------------------- the formula


@pytest.mark.parametrize("settings", SHAPES, ids=str)
def test_formula(settings: dict[str, Any]) -> None:
    """Token by token, expert by expert; outputs and the gradients of everything."""
    module, x = mixture(**settings), hidden(2, 7)
    direction = torch.randn_like(x)

    def plain(x: Tensor) -> Tensor:
        rows = []
        for token in x.flatten(0, 1):
            experts_1K, weights_1K = module.router(token[None])
            shared = module.shared(token) if settings.get("num_shared_experts") else 0
            chosen = zip(experts_1K[0].tolist(), weights_1K[0], strict=True)
            rows.append(sum((weight * module.experts[expert](token) for expert, weight in chosen), shared))
        return torch.stack(rows).view_as(x)

    outputs = module(x), plain(x)
    torch.testing.assert_close(*outputs)
    wanted = [x, *module.parameters()]
    found = [
        torch.autograd.grad((y * direction).sum(), wanted, allow_unused=True, materialize_grads=True) for y in outputs
    ]
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("settings", SHAPES, ids=str)
def test_each_token_by_itself(settings: dict[str, Any]) -> None:
    """Nothing is dropped, however many tokens want the same expert, and no gradient goes to a neighbour."""
    module, x = mixture(**settings), hidden(3, 20)
    torch.testing.assert_close(module(x)[1, 5], module(x[1, 5][None])[0])
    same = x[0, :1].expand(40, -1)
    torch.testing.assert_close(module(same), module(x[0, :1]).expand(40, -1))
    (gradient,) = torch.autograd.grad(module(x)[1, 5].sum(), x)
    assert gradient[1, 5].abs().min() > 0
    gradient[1, 5] = 0
    assert not gradient.any()


def test_experts_without_tokens_have_zero_gradients() -> None:
    """Not missing ones: ranks and microbatches exchange gradients of all parameters."""
    module = mixture(num_experts=8, top_k=1, router=RouterConfig(normalize=False))
    module(hidden(1, 1)).sum().backward()
    touched = [all(p.grad is not None and p.grad.any() for p in expert.parameters()) for expert in module.experts]
    assert sum(touched) == 1
    assert all(parameter.grad is not None for parameter in module.parameters())


def test_no_token() -> None:
    assert mixture(num_shared_experts=1)(hidden(2, 0)).shape == (2, 0, DIM)


# ----------------------------------------------------------------------------------------------------------- the oracle

MIXTRAL = MixtralConfig(hidden_size=DIM, intermediate_size=INNER, num_local_experts=5, num_experts_per_tok=2)
DEEPSEEK = DeepseekV3Config(
    hidden_size=DIM,
    moe_intermediate_size=INNER,
    n_routed_experts=8,
    num_experts_per_tok=3,
    n_shared_experts=2,
    n_group=4,
    topk_group=2,
    norm_topk_prob=True,
    routed_scaling_factor=2.5,
)
OURS: dict[str, dict[str, Any]] = {
    "mixtral": {"num_experts": 5},
    "deepseek_v3": {
        "num_experts": 8,
        "top_k": 3,
        "num_shared_experts": 2,
        "router": RouterConfig(
            scoring="sigmoid",
            scale=2.5,
            groups=ExpertGroupsConfig(num_groups=4, top_groups=2),
            balancing=BiasBalancingConfig(),
        ),
    },
}


def parts_of(theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Their tensors (or gradients) by our names: stacked experts taken apart, gate and input too."""
    ours = {"router.project.weight": theirs["gate.weight"]}
    for number, both in enumerate(theirs["experts.gate_up_proj"]):
        ours[f"experts.{number}.gate.weight"], ours[f"experts.{number}.input.weight"] = both.chunk(2)
        ours[f"experts.{number}.output.weight"] = theirs["experts.down_proj"][number]
    for name, projection in (("gate", "gate"), ("input", "up"), ("output", "down")):
        if f"shared_experts.{projection}_proj.weight" in theirs:
            ours[f"shared.{name}.weight"] = theirs[f"shared_experts.{projection}_proj.weight"]
    return ours


@pytest.mark.parametrize(
    "name, block, config", [("mixtral", MixtralSparseMoeBlock, MIXTRAL), ("deepseek_v3", DeepseekV3MoE, DEEPSEEK)]
)
def test_block_of_the_oracle(name: str, block: type[nn.Module], config: Any) -> None:
    config._experts_implementation = "eager"
    theirs, ours = oracle_model(block, config), mixture(**OURS[name], bias=False)
    ours.load_state_dict(parts_of(theirs.state_dict()), strict=False)
    assert {key for key in ours.state_dict() if "bias" not in key} == set(parts_of(theirs.state_dict()))
    if isinstance(ours.router.balancing, BiasBalancing):
        bias = torch.randn(8, dtype=torch.float64) / 3
        ours.router.balancing.bias.copy_(bias)
        theirs.gate.e_score_correction_bias = bias
    x = hidden(3, 17)
    with lifted():
        expected = theirs(x)
        direction = torch.randn_like(expected)
        (expected * direction).sum().backward()
    expected_x, x.grad = x.grad, None
    found = ours(x)
    (found * direction).sum().backward()
    assert relative(found.detach(), expected.detach()) < 1e-14
    assert x.grad is not None
    assert expected_x is not None
    assert relative(x.grad, expected_x) < 1e-13
    theirs_by_name, ours_by_name = parts_of(gradients(theirs)), gradients(ours)
    assert theirs_by_name.keys() == ours_by_name.keys()
    for key, gradient in theirs_by_name.items():
        assert relative(ours_by_name[key], gradient, at_least=1e-3) < 1e-12, key
    assert sum(bool(gradient.any()) for gradient in theirs_by_name.values()) > 12


# ----------------------------------------------------------------------------------------------------------- in models

SIZE: dict[str, Any] = {"dim": 8, "num_layers": 3, "num_heads": 2, "vocab_size": 32, "max_length": 16}
MIXTURE: dict[str, Any] = {
    "kind": "mixture",
    "num_experts": 4,
    "num_shared_experts": 1,
    "router": {"scoring": "sigmoid", "scale": 2.0, "balancing": "bias"},
}


def model_of(family: str, **changes: Any) -> Any:
    wild = {"kind": "gpt2", "std": 0.4}
    return create_model({"kind": family, **SIZE, "initialization": wild, "feed_forward": MIXTURE}, **changes).double()


@pytest.mark.parametrize("family", ["encoder", "decoder", "encoder_decoder"])
def test_packed_and_padded_equal_alone(family: str) -> None:
    """On hidden states and on the gradients of all weights."""
    backbone = model_of(family).backbone
    documents = [torch.randint(32, (length,)) for length in (3, 5, 4)]
    prefixes = ["", "decoder_"] if family == "encoder_decoder" else [""]

    def run(rows: list[list[int]], left: bool) -> tuple[Tensor, list[Tensor]]:
        shape = (len(rows), 10)
        tokens, positions, ids = torch.ones(shape).long(), torch.zeros(shape).long(), torch.full(shape, -1)
        for row, chosen in enumerate(rows):
            place = 10 - sum(len(documents[number]) for number in chosen) if left else 0
            for number in chosen:
                here = (row, slice(place, place + len(documents[number])))
                tokens[here], ids[here] = documents[number], number
                positions[here] = torch.arange(len(documents[number]))
                place += len(documents[number])
        inputs = {"tokens": tokens, "positions": positions, "documents": ids}
        hidden_BTD = backbone(**{f"{prefix}{name}": value for prefix in prefixes for name, value in inputs.items()})
        hidden_ND = torch.cat([hidden_BTD[ids == number] for number in range(3)])
        scores = (hidden_ND * torch.linspace(-1, 1, hidden_ND.numel()).view_as(hidden_ND)).sum()
        return hidden_ND, list(torch.autograd.grad(scores, list(backbone.parameters()), allow_unused=True))

    expected = run([[0], [1], [2]], left=False)
    for rows, left in (([[0], [1], [2]], True), ([[1, 2], [0]], False), ([[2, 0], [1]], True)):
        found = run(rows, left)
        torch.testing.assert_close(found[0], expected[0])
        for one, other in zip(found[1], expected[1], strict=True):
            torch.testing.assert_close(one, other)


def test_cached_equals_whole() -> None:
    model = model_of("decoder").eval()
    tokens = torch.randint(32, (2, 9))
    cache = GrowingCache()
    with torch.no_grad():
        whole = model.backbone(tokens=tokens)
        parts = [model.backbone(tokens=part, cache=cache) for part in tokens.split([4, 1, 3, 1], dim=1)]
    torch.testing.assert_close(torch.cat(parts, 1), whole)


def test_first_layers_dense() -> None:
    """DeepSeek's first layers have an ordinary feed-forward, of another width."""
    dense = {"feed_forward": {"kind": "gated", "bias": False}, "feed_forward_dim": 40}
    model = model_of("decoder", layers={":1": dense}, feed_forward_dim=12)
    first, *rest = (block.feed_forward.sublayer for block in model.backbone.stack.blocks)
    assert isinstance(first, GatedFeedForward)
    assert first.input.weight.shape == (40, 8)
    for sublayer in rest:
        assert isinstance(sublayer, Mixture)
        assert {expert.input.weight.shape for expert in sublayer.experts} == {(12, 8)}
        assert isinstance(sublayer.shared, GatedFeedForward)
        assert sublayer.shared.input.weight.shape == (12, 8)
    assert all(isinstance(block, Block) for block in model.backbone.stack.blocks)
    assert model.backbone(tokens=torch.randint(32, (2, 9))).isfinite().all()


@pytest.mark.parametrize("scheme, std", [("bert", 0.88 * 0.02), ("gpt2", 0.02), ("t5", 64**-0.5)])
def test_each_expert_is_drawn_by_its_role(scheme: str, std: float) -> None:
    """As an ordinary feed-forward of its width would be, and each from numbers of its own."""
    settings = {"kind": "decoder", **SIZE, "dim": 64, "feed_forward_dim": 256, "initialization": scheme}
    weights = dict(create_model(settings, feed_forward=MIXTURE).named_parameters())
    start = "backbone.stack.blocks.1.feed_forward.sublayer"
    inputs = [weights[f"{start}.experts.{number}.input.weight"] for number in range(4)]
    assert len({weight.flatten()[0].item() for weight in inputs}) == 4
    for weight in (*inputs, weights[f"{start}.router.project.weight"], weights[f"{start}.shared.gate.weight"]):
        assert weight.std().item() == pytest.approx(std, rel=0.12)
    plain = dict(create_model(settings, feed_forward="gated").named_parameters())
    output = weights[f"{start}.experts.2.output.weight"].std()
    assert output.item() == pytest.approx(plain[f"{start}.output.weight"].std().item(), rel=0.03)


# ------------------------------------------------------------------------------------------------ widths, words, errors


@pytest.mark.parametrize("expert", ["plain", "gated"])
@pytest.mark.parametrize("num_experts, shared", [(4, 0), (8, 1), (64, 2)])
def test_equal_parameters(expert: Any, num_experts: int, shared: int) -> None:
    """All experts together have as many weights as the plain feed-forward, but for the rounding of the width."""
    shape = FeedForwardShape(DIM, 4096)
    config = MixtureConfig(
        expert=expert, num_experts=num_experts, num_shared_experts=shared, bias=False, width="equal_parameters"
    )
    with torch.device("meta"):
        plain = PlainFeedForwardConfig(bias=False).build(shape)
        module = config.build(shape)
    experts = sum(p.numel() for name, p in module.named_parameters() if "router" not in name)
    wanted = sum(p.numel() for p in plain.parameters())
    one_multiple = 8 * DIM * {"plain": 2, "gated": 3}[expert] * (num_experts + shared)
    assert abs(experts - wanted) <= one_multiple / 2
    assert experts % one_multiple == 0


def test_words() -> None:
    words = mixture(num_shared_experts=1, expert="plain", activation="relu").extra_repr()
    assert words == f"8 experts, 2 and 1 shared for each token, each plain relu, {DIM} → {INNER} → {DIM}"
    assert mixture().extra_repr() == f"8 experts, 2 for each token, each gated silu, {DIM} → {INNER} → {DIM}"


@pytest.mark.parametrize(
    "change, words",
    [
        ({"top_k": 8}, r"^feed_forward.top_k: 8 is not below num_experts=8"),
        ({"top_k": 1}, r"^feed_forward.router.normalize: true makes the weight"),
        ({"expert": "mixture"}, r"^feed_forward.expert: 'mixture' is not one of plain, gated"),
        ({"activation": "glu"}, r"^feed_forward.activation: unknown activation 'glu'"),
        ({"num_experts": 7, "router": {"groups": {}}}, r"^feed_forward.router.groups.num_groups: 2 does not divide"),
        ({"router": {"balancing": "luck"}}, r"^feed_forward.router.balancing.kind: unknown balancing 'luck'"),
        ({"num_experts": 10**9}, r"^feed_forward.num_experts: 1000000000 must be at most"),
    ],
)
def test_refusals(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        model_config({"kind": "decoder", **SIZE}, feed_forward={"kind": "mixture", **change})
