"""Choosing tokens: against definitions written out in plain Python, and against the distributions they promise."""

import math
from typing import Any

import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor

from zoo.errors import ConfigError, ZooError
from zoo.generation.sample import Sampler, SamplingConfig, divide, draw, greedy, keep_top_k, keep_top_p

DRAWS = 4_000


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


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_drawn_tokens_have_the_softmax_distribution(temperature: float) -> None:
    logits = torch.tensor([1.5, 0.0, -1.0, 0.7, -math.inf, 0.2])
    sampler = Sampler(SamplingConfig(temperature=temperature, seed=7), [0])
    counts = [0] * 6
    for _ in range(DRAWS):
        counts[int(sampler(logits[None])[0])] += 1
    expected = [DRAWS * share for share in softmax([logit / temperature for logit in logits.tolist()])]
    assert counts[4] == 0
    del counts[4], expected[4]
    assert chisquare(counts, expected).pvalue > 0.001


def test_limited_draws_have_the_renormalized_distribution() -> None:
    logits = torch.tensor([1.5, 0.0, -1.0, 0.7, 0.2])
    sampler = Sampler(SamplingConfig(temperature=1.0, top_k=4, top_p=0.8, seed=3), range(DRAWS))
    counts = torch.bincount(sampler(logits.expand(DRAWS, -1)), minlength=5).tolist()
    allowed = sorted(top_p_by_definition([float(logits[token]) for token in (0, 1, 3, 4)], 0.8))
    tokens = [(0, 1, 3, 4)[place] for place in allowed]
    assert sum(counts[token] for token in tokens) == DRAWS
    expected = [DRAWS * share for share in softmax([float(logits[token]) for token in tokens])]
    assert chisquare([counts[token] for token in tokens], expected).pvalue > 0.001


def test_draw_never_gives_what_has_no_probability() -> None:
    logits = torch.tensor([[-math.inf, 0.0, -math.inf, 0.0, -math.inf]]).expand(4, -1)
    edges = torch.tensor([0.0, 0.5, math.nextafter(1.0, 0.0), math.nextafter(0.5, 0.0)], dtype=torch.float64)
    assert draw(logits, edges).tolist() == [1, 3, 3, 1]
    many = torch.randn(2000, 50)
    many[:, -1] = -math.inf
    assert draw(many, edges[2].expand(2000)).max() < 49


def test_a_row_does_not_depend_on_its_neighbours() -> None:
    config = SamplingConfig(temperature=1.0, top_p=0.9, seed=5)
    logits = torch.randn(6, 4, 30, dtype=torch.float64)  # steps, rows, vocabulary
    together, alone = Sampler(config, range(4)), Sampler(config, [2])
    for step in logits:
        changed = step.clone()
        changed[[0, 1, 3]] = torch.randn(3, 30, dtype=torch.float64)
        assert int(together(changed)[2]) == int(alone(step[2:3])[0])


def test_rows_and_seeds_draw_different_numbers() -> None:
    flat = torch.zeros(8, 1000)
    first = Sampler(SamplingConfig(temperature=1.0, seed=0), range(8))(flat).tolist()
    second = Sampler(SamplingConfig(temperature=1.0, seed=1), range(8))(flat).tolist()
    assert len({*first, *second}) > 12
    assert Sampler(SamplingConfig(temperature=1.0, seed=0), range(8))(flat).tolist() == first


def test_the_global_streams_are_not_touched() -> None:
    before = torch.random.get_rng_state()
    Sampler(SamplingConfig(temperature=1.0), range(3))(torch.randn(3, 10, generator=torch.Generator()))
    assert torch.equal(before, torch.random.get_rng_state())


def test_greedy_takes_the_most_likely() -> None:
    logits = torch.randn(9, 30)
    assert greedy(logits).tolist() == [max(range(30), key=row.__getitem__) for row in logits.tolist()]
    assert Sampler(SamplingConfig(), range(9))(logits).tolist() == greedy(logits).tolist()


@pytest.mark.parametrize("temperature", [1e-6, 1e-300, 5e-324])
def test_a_tiny_temperature_is_greedy(temperature: float) -> None:
    logits = torch.randn(9, 30)
    assert Sampler(SamplingConfig(temperature=temperature), range(9))(logits).tolist() == greedy(logits).tolist()


def test_temperature_divides_up_to_a_shift() -> None:
    logits = torch.randn(3, 30, dtype=torch.float64)
    torch.testing.assert_close(divide(logits, 0.7).softmax(-1), (logits / 0.7).softmax(-1))


@pytest.mark.parametrize(
    "settings, key",
    [
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"temperature": 1.0, "top_k": 0}, "top_k"),
        ({"temperature": 1.0, "top_p": 0.0}, "top_p"),
        ({"temperature": 1.0, "top_p": 1.5}, "top_p"),
        ({"seed": -1}, "seed"),
        ({"top_k": 5}, "top_k"),
        ({"top_p": 0.5}, "top_p"),
    ],
)
def test_wrong_settings_are_refused_by_name(settings: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        SamplingConfig(**settings)
    assert caught.value.key == key


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logits_that_are_not_numbers_are_refused(temperature: float) -> None:
    with pytest.raises(ZooError, match="NaN"):
        Sampler(SamplingConfig(temperature=temperature), [0])(torch.tensor([[0.0, math.nan]]))
