"""Activations made again: outputs and gradients bit for bit, side effects once, and bytes that are really saved."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.laws import documents_of, packed, padded_left, small
from zoo.config import build
from zoo.errors import ConfigError
from zoo.models import Model, ModelConfig
from zoo.models.create import model_config
from zoo.nn.norm import BatchNorm
from zoo.nn.recompute import RecomputeConfig, Recomputed
from zoo.nn.step import step_aware, watched

FAMILIES = ("encoder", "decoder", "encoder_decoder")
KINDS: list[dict[str, Any]] = [
    {"kind": "blocks"},
    {"kind": "blocks", "every": 2},
    {"kind": "attention"},
    {"kind": "feed_forward"},
]
DROPOUT = dict.fromkeys(("embedding", "attention", "residual", "feed_forward", "final", "depth"), 0.2)
MIXTURE = {
    "kind": "mixture",
    "num_experts": 4,
    "router": {"scoring": "sigmoid", "balancing": {"kind": "bias", "rate": 0.01}},
}
CHANGES: dict[str, dict[str, Any]] = {
    "plain": {},
    "relative bias": {"positions": "relative", "norm": "rms_norm", "feed_forward": {"kind": "gated"}},
    "parallel": {"block": "parallel", "attention": {"kernel": "reference", "cap": 5.0}},
    "shared": {"sharing": "all", "dropout": {**DROPOUT, "depth": 0.0}},
    "experts": {"feed_forward": MIXTURE},
    "loss on loads": {"feed_forward": {**MIXTURE, "router": {"balancing": {"kind": "loss", "z_weight": 0.1}}}},
    "batch norm": {"norm": "batch_norm"},
}


def model_of(config: ModelConfig, recompute: dict[str, Any] | None = None) -> Model:
    model = config.build(seed=3).train()
    if recompute is not None:
        build(RecomputeConfig, recompute).apply(model)
    return model


def config_of(family: str, **changes: Any) -> ModelConfig:
    return small(family, **{"dropout": DROPOUT, "num_layers": 3, **changes})


def trained(model: Model, layout: Any = packed) -> dict[str, Tensor]:
    """Everything that one forward and backward leaves: output, gradients, buffers, counts and added losses."""
    torch.manual_seed(5)
    ((inputs, _),) = layout(documents_of(model))
    with watched(step_aware(model)) as added:
        hidden = model.backbone(**inputs)
    loss = hidden.square().sum() + sum(added, torch.zeros(()))
    loss.backward()
    found = {"hidden": hidden.detach(), "loss": loss.detach()}
    found |= {f"gradient of {name}": p.grad for name, p in model.named_parameters() if p.grad is not None}
    found |= {f"buffer {name}": buffer.clone() for name, buffer in model.named_buffers()}
    counts = [part.take_counts() for part in step_aware(model)]
    return found | {f"counts {number}": each for number, each in enumerate(counts) if each is not None}


def assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("recompute", KINDS, ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_equal_bit_for_bit(family: str, recompute: dict[str, Any], changes: dict[str, Any]) -> None:
    """With dropout everywhere and packed rows; running statistics and loads of experts move once."""
    config = config_of(family, **changes)
    expected = trained(model_of(config))
    assert_equal(trained(model_of(config, recompute)), expected)
    torch.manual_seed(6)
    assert any(name.startswith("gradient") for name in expected)


@pytest.mark.parametrize("recompute", KINDS, ids=str)
def test_equal_under_autocast(recompute: dict[str, Any]) -> None:
    config = config_of("decoder")
    results = []
    for chosen in (None, recompute):
        with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
            results.append(trained(model_of(config, chosen)))
    assert_equal(results[1], results[0])


def test_the_comparison_can_fail() -> None:
    """Dropout is on: another seed is another output."""
    config = config_of("decoder")
    one, other = model_of(config), model_of(config)
    ((inputs, _),) = packed(documents_of(one))
    torch.manual_seed(5)
    first = one.backbone(**inputs)
    torch.manual_seed(6)
    assert not torch.equal(other.backbone(**inputs), first)


@pytest.mark.parametrize("kind", ["batch norm", "experts", "loss on loads"])
def test_backward_after_another_forward(kind: str) -> None:
    """The padding of the next forward, which the parts have been told meanwhile, is not that of this one."""
    config = config_of("decoder", **CHANGES[kind], max_length=32)
    gradients = []
    for recompute in (None, {"kind": "blocks"}):
        model = model_of(config, recompute)
        ((one, _),), ((other, _),) = packed(documents_of(model)), padded_left(documents_of(model))
        torch.manual_seed(5)
        with watched(step_aware(model)) as added:
            hidden, _ = model.backbone(**one), model.backbone(**other)
        (hidden.square().sum() + sum(added, torch.zeros(()))).backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert_equal(gradients[1], gradients[0])


def test_running_statistics_move(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were a replay a forward like any other, they would move twice."""
    config = config_of("decoder", norm="batch_norm")
    expected = trained(model_of(config))
    monkeypatch.setattr("zoo.nn.recompute.Replay.__enter__", lambda replay: replay)
    monkeypatch.setattr("zoo.nn.recompute.Replay.__exit__", lambda replay, *error: None)
    found = trained(model_of(config, {"kind": "blocks"}))
    name = next(name for name in expected if name.endswith("running_mean"))
    assert not torch.equal(found[name], expected[name])


def test_replay_puts_everything_back() -> None:
    config = config_of("decoder", norm="batch_norm", feed_forward=MIXTURE)
    model = model_of(config, {"kind": "blocks"})
    trained(model)
    assert not any(getattr(module, "replaying", False) for module in model.modules())
    assert all(part.losses is None for part in step_aware(model))
    assert any(isinstance(module, BatchNorm) for module in model.modules())


def test_twice_through_one_graph() -> None:
    config = config_of("decoder")
    sums = []
    for recompute in (None, {"kind": "blocks"}):
        model = model_of(config, recompute)
        torch.manual_seed(5)
        ((inputs, _),) = packed(documents_of(model))
        loss = model.backbone(**inputs).square().sum()
        loss.backward(retain_graph=True)
        loss.backward()
        sums.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert_equal(sums[1], sums[0])


@pytest.mark.parametrize("recompute", KINDS, ids=str)
def test_names_and_evaluation_stay(recompute: dict[str, Any]) -> None:
    config = config_of("encoder_decoder")
    plain, other = model_of(config).eval(), model_of(config, recompute).eval()
    assert list(plain.state_dict()) == list(other.state_dict())
    ((inputs, _),) = packed(documents_of(plain))
    with torch.no_grad():
        assert torch.equal(plain.backbone(**inputs), other.backbone(**inputs))


# --------------------------------------------------------------------------------------------------------------- memory


def saved_bytes(model: Model, rows: int, length: int) -> int:
    """What a forward keeps for the backward, weights and what is stored twice left out."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage().data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    tokens = torch.randint(model.config.vocab_size or 0, (rows, length), generator=torch.Generator().manual_seed(0))
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        hidden = model.backbone(tokens=tokens)
    assert hidden.requires_grad
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


def test_it_saves_memory() -> None:
    """Of 8 layers · 4 rows · 64 tokens · 64 wide: a block's input is one of (B, T, D), in float32."""
    config = model_config(
        "gpt-nano", dim=64, num_layers=8, num_heads=4, feed_forward_dim=256, max_length=64, vocab_size=50,
        dropout={"attention": 0.1, "residual": 0.1},
    )  # fmt: skip
    found = {str(kind): saved_bytes(model_of(config, kind), rows=4, length=64) for kind in ({"kind": "none"}, *KINDS)}
    none, blocks, every_other, attention, feed_forward = found.values()
    hidden = 4 * 64 * 64 * 4
    scores = 4 * 4 * 64 * 64 * 4
    assert blocks < 8 * 1.1 * hidden + 6 * hidden  # the inputs of the blocks, and what embedding and final norm keep
    assert blocks < every_other < none
    assert none - attention > 8 * scores  # softmax and what dropout left of it, at least
    assert none - feed_forward > 8 * 4 * hidden  # its inside is four times as wide
    assert blocks < min(attention, feed_forward)


# -------------------------------------------------------------------------------------------------------------- refused


def test_nothing_to_make_again_is_refused() -> None:
    config = small("decoder", feed_forward="none", feed_forward_dim=None)
    with pytest.raises(ConfigError, match="kind: 'feed_forward' has no effect: the model has no such part; use none"):
        model_of(config, {"kind": "feed_forward"})


def test_none_leaves_the_model_alone() -> None:
    model = model_of(config_of("decoder"), {"kind": "none"})
    assert not any(isinstance(module.forward, Recomputed) for module in model.modules())


@pytest.mark.parametrize("every, chosen", [(1, 5), (2, 3), (3, 2), (4, 2), (9, 1)])
def test_every_nth_block(every: int, chosen: int) -> None:
    model = model_of(config_of("decoder", num_layers=5), {"kind": "blocks", "every": every})
    blocks = [block for block in model.backbone.stack.blocks if isinstance(block.forward, Recomputed)]
    assert len(blocks) == chosen
    assert isinstance(model.backbone.stack.blocks[0].forward, Recomputed)


@pytest.mark.parametrize("recompute", KINDS, ids=str)
def test_a_part_of_ones_own_is_found(recompute: dict[str, Any]) -> None:
    """Parts are found by the place they stand at, not by their class."""
    model = model_of(config_of("decoder"))
    for block in model.backbone.stack.blocks:
        block.feed_forward.sublayer = nn.Linear(16, 16)
    build(RecomputeConfig, recompute).apply(model)
    assert any(isinstance(module.forward, Recomputed) for module in model.modules())
