"""Choosing tokens: against the distributions they promise, and against transformers' processors in their order."""

import math
from typing import Any

import pytest
import torch
import transformers
from scipy.stats import chisquare

from zoo.errors import ConfigError, ZooError
from zoo.generation.history import History, begin
from zoo.generation.sample import LIMITS, PENALTIES, Row, Sampler, SamplingConfig, draw

DRAWS = 4_000


def nothing(rows: int) -> History:
    """The history of rows that hold one token."""
    return begin([[1]] * rows, (), torch.device("cpu"))


def softmax(logits: list[float]) -> list[float]:
    weights = [math.exp(logit - max(logits)) for logit in logits]
    return [weight / sum(weights) for weight in weights]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_drawn_tokens_have_the_softmax_distribution(temperature: float) -> None:
    logits = torch.tensor([1.5, 0.0, -1.0, 0.7, -math.inf, 0.2])
    sampler = Sampler(SamplingConfig(temperature=temperature, seed=7), [0])
    counts = [0] * 6
    for _ in range(DRAWS):
        counts[int(sampler(logits[None], nothing(1))[0])] += 1
    expected = [DRAWS * share for share in softmax([logit / temperature for logit in logits.tolist()])]
    assert counts[4] == 0
    del counts[4], expected[4]
    assert chisquare(counts, expected).pvalue > 0.001


def test_limited_draws_have_the_renormalized_distribution() -> None:
    logits = torch.tensor([1.5, 0.0, -1.0, 0.7, 0.2])
    sampler = Sampler(SamplingConfig(temperature=1.0, top_k=4, top_p=0.8, seed=3), range(DRAWS))
    counts = torch.bincount(sampler(logits.expand(DRAWS, -1), nothing(DRAWS)), minlength=5).tolist()
    tokens = [0, 3, 4]  # of the four likeliest, 1.5 0.7 0.2 0.0, the fewest with 0.8 together
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
        assert int(together(changed, nothing(4))[2]) == int(alone(step[2:3], nothing(1))[0])


def test_rows_and_seeds_draw_different_numbers() -> None:
    flat = torch.zeros(8, 1000)
    first = Sampler(SamplingConfig(temperature=1.0, seed=0), range(8))(flat, nothing(8)).tolist()
    second = Sampler(SamplingConfig(temperature=1.0, seed=1), range(8))(flat, nothing(8)).tolist()
    assert len({*first, *second}) > 12
    assert Sampler(SamplingConfig(temperature=1.0, seed=0), range(8))(flat, nothing(8)).tolist() == first


def test_the_global_streams_are_not_touched() -> None:
    before = torch.random.get_rng_state()
    Sampler(SamplingConfig(temperature=1.0), range(3))(torch.randn(3, 10, generator=torch.Generator()), nothing(3))
    assert torch.equal(before, torch.random.get_rng_state())


def test_greedy_takes_the_most_likely() -> None:
    logits = torch.randn(9, 30)
    likeliest = [max(range(30), key=row.__getitem__) for row in logits.tolist()]
    assert Sampler(SamplingConfig(), range(9))(logits, nothing(9)).tolist() == likeliest


@pytest.mark.parametrize("temperature", [1e-6, 1e-300, 5e-324])
def test_a_tiny_temperature_is_greedy(temperature: float) -> None:
    logits = torch.randn(9, 30)
    found = Sampler(SamplingConfig(temperature=temperature), range(9))(logits, nothing(9))
    assert found.tolist() == logits.argmax(dim=-1).tolist()


@pytest.mark.parametrize(
    "settings, key",
    [
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"temperature": 1.0, "top_k": 0}, "top_k"),
        ({"temperature": 1.0, "top_p": 0.0}, "top_p"),
        ({"temperature": 1.0, "top_p": 1.5}, "top_p"),
        ({"seed": -1}, "seed"),
        ({"seed": 1}, "seed"),
        ({"top_k": 5}, "top_k"),
        ({"top_p": 0.5}, "top_p"),
        ({"min_p": 0.5}, "min_p"),
        ({"typical_p": 0.5}, "typical_p"),
        ({"temperature": 1.0, "min_p": 1.5}, "min_p"),
        ({"temperature": 1.0, "typical_p": 1.0}, "typical_p"),
        ({"repetition_penalty": 0.0}, "repetition_penalty"),
        ({"repetition_penalty": 1e-39}, "repetition_penalty"),
        ({"repetition_penalty": 1e38}, "repetition_penalty"),
        ({"frequency_penalty": 2.5}, "frequency_penalty"),
        ({"presence_penalty": -2.5}, "presence_penalty"),
        ({"no_repeat_ngram_size": 0}, "no_repeat_ngram_size"),
        ({"min_new_tokens": -1}, "min_new_tokens"),
        ({"prefix_tokens": (-1,)}, "prefix_tokens.0"),
    ],
)
def test_wrong_settings_are_refused_by_name(settings: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        SamplingConfig(**settings)
    assert caught.value.key == key


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logits_that_are_not_numbers_are_refused(temperature: float) -> None:
    with pytest.raises(ZooError, match="NaN"):
        Sampler(SamplingConfig(temperature=temperature), [0])(torch.tensor([[0.0, math.nan]]), nothing(1))
    with pytest.raises(ZooError, match="infinite"):
        Sampler(SamplingConfig(temperature=temperature), [0])(torch.tensor([[0.0, math.inf]]), nothing(1))


@pytest.mark.parametrize("penalty", [0.001, 1000.0])
def test_the_bounds_of_the_repetition_penalty_leave_numbers(penalty: float) -> None:
    config, history = SamplingConfig(repetition_penalty=penalty), begin([[0, 1]], (), torch.device("cpu"))
    assert config.penalties(torch.tensor([[3e4, -3e4, 0.0]]), history).isfinite().all()


def test_samples_and_prompts_are_told_apart() -> None:
    """The second text of the first prompt is drawn with other numbers than the first text of the second."""
    config, flat = SamplingConfig(temperature=1.0, seed=3), torch.zeros(4, 100_000)
    rows = [Row(0, 1), Row(1, 0), Row(1, 1), Row(0, 2)]
    assert len(set(Sampler(config, rows)(flat, nothing(4)).tolist())) == 4


def test_samples_of_one_prompt_draw_different_numbers_and_the_first_is_the_only_one() -> None:
    config, flat = SamplingConfig(temperature=1.0, seed=3), torch.zeros(1, 100_000)
    drawn = [int(Sampler(config, [Row(2, sample)])(flat, nothing(1))[0]) for sample in range(8)]
    assert len(set(drawn)) == 8
    assert drawn[0] == int(Sampler(config, [2])(flat, nothing(1))[0])


def test_a_row_that_may_not_go_on_is_refused_unless_it_has_ended() -> None:
    history = begin([[0, 1, 0], [0, 1, 0]], (), torch.device("cpu"))
    sampler = Sampler(SamplingConfig(no_repeat_ngram_size=1), [0, 1])
    with pytest.raises(ZooError, match="no token may come next"):
        sampler(torch.zeros(2, 2), history)
    assert sampler(torch.zeros(2, 2), history._replace(live_B=torch.tensor([False, False]))).tolist() == [0, 0]


CHANGED = {
    "temperature": 0.8,
    "top_k": 40,
    "top_p": 0.9,
    "min_p": 0.02,
    "typical_p": 0.95,
    "repetition_penalty": 1.3,
    "no_repeat_ngram_size": 3,
    "min_new_tokens": 9,
}


def test_all_steps_together_are_transformers_processors_in_their_order() -> None:
    """The processors as GenerationMixin._get_logits_processor puts them together for such a config."""
    config = transformers.GenerationConfig(
        **{**CHANGED, "do_sample": True, "eos_token_id": [7, 9], "pad_token_id": 0, "forced_bos_token_id": None}
    )
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(n_embd=8, n_layer=1, n_head=1, vocab_size=60))
    prompt = torch.randint(60, (8, 12))
    config._eos_token_tensor = torch.tensor([7, 9])
    theirs = model._get_logits_processor(config, input_ids_seq_length=8, device="cpu")
    assert len(theirs) == len(CHANGED)
    ours = SamplingConfig(**CHANGED)
    history = begin([row[:8] for row in prompt.tolist()], (7, 9), torch.device("cpu"))
    history = history._replace(tokens_BS=prompt, num_new=4)
    logits = 2 * torch.randn(8, 60)
    expected = theirs(prompt, logits.clone()).softmax(-1)
    actual = ours.limits(ours.penalties(logits, history), history).softmax(-1).float()
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-6)
    assert (actual == 0).any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    "settings, theirs",
    [
        ({"repetition_penalty": 1.01}, transformers.RepetitionPenaltyLogitsProcessor(1.01)),
        ({"repetition_penalty": 1.05}, transformers.RepetitionPenaltyLogitsProcessor(1.05)),
        ({"presence_penalty": 0.02}, None),
        ({"frequency_penalty": 0.05}, None),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_penalties_on_coarse_logits_are_those_of_transformers(
    settings: dict[str, float], theirs: Any, dtype: torch.dtype
) -> None:
    """transformers penalizes a copy in float32 (`generation/utils.py`); it has no presence and frequency penalty."""
    logits = (15 + 3 * torch.randn(400, 500)).to(dtype)
    likeliest = logits.topk(1, dim=-1).indices
    history = begin([[]] * 400, (), torch.device("cpu")).extended(likeliest[:, 0], torch.ones(400, dtype=torch.bool))
    exact = logits.float()
    if theirs is None:
        expected = exact.scatter_add(1, likeliest, torch.full((400, 1), -sum(settings.values())))
    else:
        expected = theirs(likeliest, exact.clone())
    assert Sampler(SamplingConfig(**settings), range(400))(logits, history).tolist() == expected.argmax(-1).tolist()
    assert (expected.argmax(-1) != logits.argmax(-1)).any()


def test_every_step_has_a_field_and_every_field_but_the_seed_a_step() -> None:
    assert {*PENALTIES, *LIMITS, "seed"} == set(SamplingConfig.__dataclass_fields__)
    config = SamplingConfig()
    assert config.penalties.active == []
    assert config.limits.active == []
