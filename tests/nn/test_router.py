"""A router chooses by its formula, token by token, and groups limit its choice."""

from typing import Any

import pytest
import torch

from zoo.errors import ConfigError
from zoo.nn.balancing import BiasBalancing, BiasBalancingConfig
from zoo.nn.linear import Site
from zoo.nn.router import ExpertGroupsConfig, GroupLimit, Router, RouterConfig, RouterShape

SHAPE = RouterShape(dim=5, num_experts=6, top_k=2)


def router(shape: RouterShape = SHAPE, **settings: Any) -> Router:
    module = Router(RouterConfig(**settings), shape, Site("router")).double()
    torch.nn.init.normal_(module.project.weight)
    return module


def hidden(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, SHAPE.dim, dtype=torch.float64)


@pytest.mark.parametrize("scoring", ["softmax", "sigmoid"])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_formula(scoring: str, normalize: bool, scale: float) -> None:
    module, x = router(scoring=scoring, normalize=normalize, scale=scale), hidden(2, 7)
    experts_NK, weights_NK = module(x)
    for token, experts, weights in zip(x.flatten(0, 1), experts_NK, weights_NK, strict=True):
        logits = [float(row @ token) for row in module.project.weight.detach()]
        powers = [torch.tensor(logit).double().exp() for logit in logits]
        scores = [p / sum(powers) if scoring == "softmax" else p / (1 + p) for p in powers]
        best = sorted(range(6), key=lambda expert: -scores[expert])[:2]
        assert experts.tolist() == best
        total = sum(scores[expert] for expert in best) if normalize else 1
        expected = torch.stack([torch.as_tensor(scale * scores[expert] / total) for expert in best])
        torch.testing.assert_close(weights, expected)


def test_bias_chooses_and_does_not_weigh() -> None:
    module, x = router(scoring="sigmoid", balancing=BiasBalancingConfig(), normalize=False), hidden(9)
    before = module(x)
    assert isinstance(module.balancing, BiasBalancing)
    module.balancing.bias[4] = 5.0
    experts_NK, weights_NK = module(x)
    assert (experts_NK[:, 0] == 4).all()
    scores_NE = module.project(x).sigmoid()
    torch.testing.assert_close(weights_NK, scores_NE.gather(1, experts_NK))
    assert not torch.equal(before.experts_NK, experts_NK)


def test_groups_limit_the_choice() -> None:
    """By hand: 3 groups of 2; the best single expert stands in a group whose sum is low."""
    scores = torch.tensor([[0.9, 0.0, 0.5, 0.6, 0.4, 0.45]])
    limited = GroupLimit(ExpertGroupsConfig(num_groups=3, top_groups=1))(scores)
    assert limited.tolist() == [[-torch.inf, -torch.inf, 0.5, pytest.approx(0.6), -torch.inf, -torch.inf]]
    limited = GroupLimit(ExpertGroupsConfig(num_groups=3, top_groups=2))(scores)
    assert (limited.isinf().int().tolist()) == [[0, 0, 0, 0, 1, 1]]
    module = router(groups=ExpertGroupsConfig(num_groups=3, top_groups=1))
    experts_NK, _ = module(hidden(50))
    assert (experts_NK[:, 0] // 2 == experts_NK[:, 1] // 2).all()


def test_scores_are_computed_in_float32_under_autocast() -> None:
    module, x = router().float(), hidden(40).float()
    exact = module(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = module(x)
    assert rounded.weights_NK.dtype == torch.float32
    assert torch.equal(rounded.experts_NK, exact.experts_NK)
    assert torch.equal(rounded.weights_NK, exact.weights_NK)


def test_scores_that_are_all_zero_are_no_nan() -> None:
    module = router(scoring="sigmoid")
    torch.nn.init.constant_(module.project.weight, -1e6)
    _, weights_NK = module(hidden(3).abs())
    assert (weights_NK == 0).all()


@pytest.mark.parametrize(
    "settings, top_k, words",
    [
        ({"normalize": True}, 1, r"^normalize: true makes the weight of the only expert .* use false"),
        (
            {"groups": {"num_groups": 4, "top_groups": 1}},
            2,
            r"^groups.num_groups: 4 does not divide .* \(legal: 2, 3\)",
        ),
        ({"groups": {"num_groups": 6, "top_groups": 1}}, 2, r"^groups.num_groups: 6 does not divide"),
        ({"groups": {"num_groups": 2, "top_groups": 2}}, 2, r"^groups.top_groups: 2 is not below num_groups=2"),
        ({"groups": {"num_groups": 3, "top_groups": 1}}, 3, r"^groups.top_groups: 1 groups of 2 .* less than top_k=3"),
    ],
)
def test_refusals(settings: dict[str, Any], top_k: int, words: str) -> None:
    groups = settings.get("groups")
    config = RouterConfig(**{**settings, "groups": groups and ExpertGroupsConfig(**groups)})
    with pytest.raises(ConfigError, match=words):
        config.check(6, top_k)
