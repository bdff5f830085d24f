"""Balancing: the loss equals its formula and the oracle's, the bias moves as its paper says, padding counts nowhere."""

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

from tests.oracle import lifted
from zoo.models import Model
from zoo.models.create import create_model
from zoo.nn.balancing import (
    BiasBalancing,
    BiasBalancingConfig,
    LossBalancing,
    LossBalancingConfig,
    NoBalancingConfig,
    Routed,
    loads,
)
from zoo.nn.step import step_aware, watched

NUM_EXPERTS, TOP_K = 6, 2


def routed(num_tokens: int = 50, scoring: str = "softmax") -> Routed:
    logits_NE = torch.randn(num_tokens, NUM_EXPERTS, dtype=torch.float64, requires_grad=True)
    scores_NE = logits_NE.softmax(1) if scoring == "softmax" else logits_NE.sigmoid()
    return Routed(logits_NE, scores_NE, scores_NE.topk(TOP_K).indices)


def loss_of(routed: Routed, **settings: Any) -> Tensor:
    module = LossBalancingConfig(**settings).build(NUM_EXPERTS)
    with watched([module]) as losses:
        module.watch(routed)
    (loss,) = losses
    return loss


# ------------------------------------------------------------------------------------------------------------- the loss


def test_loss_is_that_of_the_oracle() -> None:
    """The oracle's counts all k choices of a token as one token, so its loss is k times as large."""
    ours = routed()
    with lifted():
        theirs = load_balancing_loss_func((ours.logits_NE,), NUM_EXPERTS, TOP_K)
    loss = TOP_K * loss_of(ours, weight=1.0)
    torch.testing.assert_close(loss, theirs, rtol=1e-14, atol=0)
    gradients = [torch.autograd.grad(each, ours.logits_NE, retain_graph=True)[0] for each in (loss, theirs)]
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-16)


def test_loss_of_sigmoid_scores_takes_their_shares() -> None:
    ours = routed(scoring="sigmoid")
    shares_NE = ours.scores_NE / ours.scores_NE.sum(1, keepdim=True)
    fractions_E = loads(ours.experts_NK, NUM_EXPERTS) / (50 * TOP_K)
    torch.testing.assert_close(loss_of(ours, weight=0.3), 0.3 * NUM_EXPERTS * (fractions_E * shares_NE.mean(0)).sum())


def test_z_loss() -> None:
    ours = routed()
    z = ours.logits_NE.exp().sum(1).log().square().mean()
    torch.testing.assert_close(loss_of(ours, z_weight=0.2) - loss_of(ours), 0.2 * z)


@pytest.mark.parametrize("top_k", [1, 2, 3])
def test_loss_is_least_where_loads_are_equal(top_k: int) -> None:
    tokens = torch.arange(NUM_EXPERTS)
    experts_NK = (tokens[:, None] + torch.arange(top_k)) % NUM_EXPERTS
    logits_NE = torch.full((NUM_EXPERTS, NUM_EXPERTS), -9.0).scatter(1, experts_NK, 9.0)
    equal = loss_of(Routed(logits_NE, logits_NE.softmax(1), experts_NK), weight=0.5)
    one = logits_NE[:1].expand_as(logits_NE)
    unequal = loss_of(Routed(one, one.softmax(1), experts_NK[:1].expand_as(experts_NK)), weight=0.5)
    assert equal.item() == pytest.approx(0.5)
    assert unequal.item() == pytest.approx(0.5 * NUM_EXPERTS / top_k, rel=1e-3)


def test_loss_of_no_token_is_zero() -> None:
    nothing = Routed(torch.zeros(0, 6), torch.zeros(0, 6), torch.zeros(0, 2, dtype=torch.long))
    assert loss_of(nothing, z_weight=1.0) == 0


# ------------------------------------------------------------------------------------------------------------- the bias


def test_bias_moves_towards_equal_loads() -> None:
    module = BiasBalancing(0.01, 4).double()
    module.settle(torch.tensor([5, 1, 3, 3]))
    assert module.bias.tolist() == [-0.01, 0.01, 0, 0]
    module.settle(torch.tensor([0, 0, 0, 10**9]))
    assert module.bias.tolist() == [0, 0.02, 0.01, -0.01]
    module.settle(torch.tensor([0, 0, 0, 0]))
    assert module.bias.tolist() == [0, 0.02, 0.01, -0.01]


def test_bias_is_added_to_what_is_chosen_by() -> None:
    module = BiasBalancingConfig(rate=0.5).build(2)
    assert isinstance(module, BiasBalancing)
    module.settle(torch.tensor([3, 1]))
    torch.testing.assert_close(module.sway(torch.tensor([[0.2, 0.1]])), torch.tensor([[-0.3, 0.6]]))
    assert "bias" in module.state_dict()


def test_counts_are_taken_once_and_add_up() -> None:
    module = BiasBalancing(0.01, NUM_EXPERTS)
    assert module.take_counts().tolist() == [0] * NUM_EXPERTS
    chosen = [routed(), routed(30)]
    for each in chosen:
        module.watch(each)
    both = torch.cat([each.experts_NK for each in chosen])
    assert torch.equal(module.take_counts(), loads(both, NUM_EXPERTS))
    assert module.take_counts().sum() == 0


def test_bias_evens_out_the_loads_of_a_lopsided_router() -> None:
    """Most tokens like the same two experts best; after a while all experts get about as many."""
    module = BiasBalancing(0.01, NUM_EXPERTS)
    scores_NE = (torch.randn(600, NUM_EXPERTS) + torch.linspace(2, -2, NUM_EXPERTS)).sigmoid()
    first = None
    for _ in range(200):
        chosen = module.sway(scores_NE).topk(TOP_K).indices
        counts = loads(chosen, NUM_EXPERTS)
        first = counts if first is None else first
        module.settle(counts)
    assert first is not None
    assert first.max() > 2 * first.float().mean()
    assert counts.max() < 1.15 * counts.float().mean()


def test_none_does_nothing() -> None:
    module = NoBalancingConfig().build(3)
    scores = torch.randn(4, 3)
    assert module.sway(scores) is scores
    module.watch(routed())
    assert module.take_counts() is None
    assert not module.state_dict()


# ---------------------------------------------------------------------------------------------------------- in a model

INPUTS = {
    "tokens": torch.arange(12).reshape(2, 6),
    "documents": torch.tensor([[0, 0, 0, 0, -1, -1], [0, 0, 0, 1, 1, -1]]),
}


def model_with(balancing: Any, **changes: Any) -> Model:
    settings = {"kind": "decoder", "dim": 8, "num_layers": 2, "num_heads": 2, "vocab_size": 12, "max_length": 8}
    feed_forward = {"kind": "mixture", "num_experts": NUM_EXPERTS, "router": {"balancing": balancing}}
    return create_model(settings, feed_forward=feed_forward, initialization={"kind": "gpt2", "std": 0.5}, **changes)


@pytest.mark.parametrize("padding", [3, 7])
def test_padding_counts_nowhere(padding: int) -> None:
    """Whatever stands in the places of padding, and however many there are, loss and loads are those of the rest."""
    found = []
    for width, filler in ((6, 0), (6, padding), (8, padding)):
        losses = []
        for balancing in ({"kind": "loss", "z_weight": 0.1}, "bias"):
            model = model_with(balancing).double()
            tokens, documents = (torch.full((2, width), value) for value in (filler, -1))
            documents[:, :6] = INPUTS["documents"]
            tokens[documents >= 0] = INPUTS["tokens"][INPUTS["documents"] >= 0]
            positions = torch.tensor([[0, 1, 2, 3, 0, 0], [0, 1, 2, 0, 1, 0]])
            positions = torch.nn.functional.pad(positions, (0, width - 6))
            with watched(step_aware(model)) as added:
                model.backbone(tokens=tokens, documents=documents, positions=positions)
            counts = [part.take_counts() for part in step_aware(model)]
            losses += added or [each.double() for each in counts if each is not None]
        found.append(losses)
    assert [int(each.sum()) for each in found[0][2:]] == [9 * TOP_K] * 2
    for other in found[1:]:
        torch.testing.assert_close(other, found[0])


def test_shared_layers_add_up() -> None:
    """One block run twice is watched twice."""
    model = model_with("bias", sharing="all")
    (part,) = step_aware(model)
    with watched([part]):
        model.backbone(**INPUTS)
    counts = part.take_counts()
    assert counts is not None
    assert counts.sum() == 2 * 9 * TOP_K


@pytest.mark.parametrize("balancing", ["loss", "bias"])
@pytest.mark.parametrize("training", [True, False])
def test_a_bare_forward_moves_and_keeps_nothing(balancing: str, training: bool) -> None:
    model = model_with(balancing).train(training)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    first = model.backbone(**INPUTS)
    for part in step_aware(model):
        counts = part.take_counts()
        assert counts is None or not counts.any()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(first, model.backbone(**INPUTS))


def test_what_mixes_rows_says_so() -> None:
    assert LossBalancingConfig.mixes_rows
    assert LossBalancing.adds_loss
    for config in (NoBalancingConfig, BiasBalancingConfig):
        assert not getattr(config, "mixes_rows", "")
        assert not config().build(2).adds_loss
