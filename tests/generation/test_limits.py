"""The limits of drawing: against definitions written out in plain Python, and against transformers' own."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers.generation import logits_process as theirs

from zoo.generation.limits import divide, keep_min_p, keep_top_k, keep_top_p, keep_typical


def kept(logits_BV: Tensor) -> list[set[int]]:
    """The tokens of each row that can still be chosen."""
    return [{token for token, logit in enumerate(row) if logit > -math.inf} for row in logits_BV.tolist()]


def softmax(logits: list[float]) -> list[float]:
    weights = [math.exp(logit - max(logits)) for logit in logits]
    return [weight / sum(weights) for weight in weights]


def top_k_by_definition(logits: list[float], k: int) -> set[int]:
    kth = sorted(logits, reverse=True)[:k][-1]
    return {token for token, logit in enumerate(logits) if logit >= kth}


def top_p_by_definition(logits: list[float], p: float) -> set[int]:
    probabilities = softmax(logits)
    order = sorted(range(len(logits)), key=lambda token: (-logits[token], token))
    for size in range(1, len(order) + 1):
        if sum(probabilities[token] for token in order[:size]) >= p:
            return set(order[:size])
    return set(order)


@pytest.mark.parametrize("k", [1, 2, 7, 50, 1000])
def test_top_k_is_its_definition(k: int) -> None:
    logits = torch.randn(20, 50, dtype=torch.float64)
    logits[:10] = logits[:10].round()  # with ties
    assert kept(keep_top_k(logits, k)) == [top_k_by_definition(row, k) for row in logits.tolist()]


@pytest.mark.parametrize("p", [1e-9, 0.1, 0.5, 0.9, 0.999])
def test_top_p_is_its_definition(p: float) -> None:
    logits = 2 * torch.randn(20, 50, dtype=torch.float64)
    logits[:10] = logits[:10].round()  # with ties
    assert kept(keep_top_p(logits, p)) == [top_p_by_definition(row, p) for row in logits.tolist()]


def test_limits_leave_the_logits_that_they_keep() -> None:
    logits = torch.randn(4, 30)
    before = logits.clone()
    for limited in (keep_top_k(logits, 5), keep_top_p(logits, 0.5)):
        stays = limited > -math.inf
        assert torch.equal(limited[stays], logits[stays])
    assert torch.equal(logits, before)


def test_top_p_of_one_keeps_all() -> None:
    logits = torch.randn(8, 30)
    assert all(len(row) >= 29 for row in kept(keep_top_p(logits, 1.0)))  # all, or all but a rounding error
    assert torch.equal(keep_top_k(logits, 30), logits)


def test_temperature_divides_up_to_a_shift() -> None:
    logits = torch.randn(3, 30, dtype=torch.float64)
    torch.testing.assert_close(divide(logits, 0.7).softmax(-1), (logits / 0.7).softmax(-1))


def min_p_by_definition(logits: list[float], p: float) -> set[int]:
    probabilities = softmax(logits)
    return {token for token, share in enumerate(probabilities) if share >= p * max(probabilities) * (1 - 1e-12)}


def typical_by_definition(logits: list[float], p: float) -> set[int]:
    probabilities = softmax(logits)
    entropy = -sum(share * math.log(share) for share in probabilities)
    distance = [abs(-math.log(share) - entropy) for share in probabilities]
    order, total = sorted(range(len(logits)), key=distance.__getitem__), 0.0
    for size, token in enumerate(order, start=1):
        total += probabilities[token]
        if total >= p:
            return set(order[:size])
    return set(order)


@pytest.mark.parametrize("p", [1e-9, 0.05, 0.3, 1.0])
def test_min_p_is_its_definition(p: float) -> None:
    logits = 2 * torch.randn(20, 50, dtype=torch.float64)
    assert kept(keep_min_p(logits, p)) == [min_p_by_definition(row, p) for row in logits.tolist()]


@pytest.mark.parametrize("p", [1e-9, 0.1, 0.5, 0.9, 0.999])
def test_typical_is_its_definition(p: float) -> None:
    logits = 2 * torch.randn(20, 50, dtype=torch.float64)
    assert kept(keep_typical(logits, p)) == [typical_by_definition(row, p) for row in logits.tolist()]


def test_typical_may_leave_the_likeliest_out() -> None:
    logits = torch.tensor([[0.3, *[0.7 / 999] * 999]], dtype=torch.float64).log()
    assert 0 not in kept(keep_typical(logits, 0.3))[0]


def test_what_cannot_be_chosen_stays_so() -> None:
    logits = torch.tensor([[-math.inf, 1.0, -math.inf, 0.5, -3.0]])
    for limited in (
        keep_top_k(logits, 5),
        keep_top_p(logits, 0.99),
        keep_min_p(logits, 1e-9),
        keep_typical(logits, 0.9),
    ):
        assert limited.isneginf()[0, [0, 2]].all()
        assert len(kept(limited)[0]) >= 1


THEIRS: list[tuple[Any, Any, Any]] = [
    (keep_top_k, theirs.TopKLogitsWarper, [1, 3, 40, 100]),
    (keep_top_p, theirs.TopPLogitsWarper, [0.05, 0.5, 0.9, 0.99]),
    (keep_min_p, theirs.MinPLogitsWarper, [0.01, 0.1, 0.5, 1.0]),
    (keep_typical, theirs.TypicalLogitsWarper, [0.05, 0.5, 0.9, 0.99]),
]


@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("ours, warper, values", THEIRS, ids=lambda part: getattr(part, "__name__", ""))
def test_the_limits_are_those_of_transformers(ours: Any, warper: Any, values: list[Any], scale: float) -> None:
    logits = scale * torch.randn(30, 100)
    for value in values:
        assert torch.equal(ours(logits, value), warper(value)(None, logits.clone()))


@pytest.mark.parametrize("temperature", [0.1, 0.7, 1.0, 3.0])
def test_the_temperature_is_that_of_transformers(temperature: float) -> None:
    logits = torch.randn(30, 100)
    expected = theirs.TemperatureLogitsWarper(temperature)(None, logits).log_softmax(-1)
    torch.testing.assert_close(divide(logits, temperature).log_softmax(-1).float(), expected, rtol=1e-5, atol=1e-5)
