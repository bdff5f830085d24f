"""Steps that look at the row: against transformers' processors, OpenAI's formula, and the row alone."""

import math
from typing import Any

import pytest
import torch
from transformers.generation import logits_process as theirs

from zoo.generation.history import NO_TOKEN, History
from zoo.generation.penalties import (
    bar_repeated_ngrams,
    bar_stop_tokens,
    force_prefix,
    obey,
    penalize_frequency,
    penalize_presence,
    penalize_repetition,
)

VOCAB_SIZE = 12


def history_of(tokens: torch.Tensor, num_new: int, stop: tuple[int, ...] = ()) -> History:
    return History(tokens, num_new, torch.ones(len(tokens), dtype=torch.bool), stop)


THEIRS: list[tuple[Any, Any, list[Any]]] = [
    (penalize_repetition, theirs.RepetitionPenaltyLogitsProcessor, [0.5, 1.2, 3.0]),
    (bar_repeated_ngrams, theirs.NoRepeatNGramLogitsProcessor, [1, 2, 3, 12, 20]),
]


@pytest.mark.parametrize("ours, processor, values", THEIRS, ids=["repetition", "ngrams"])
def test_steps_are_those_of_transformers(ours: Any, processor: Any, values: list[Any]) -> None:
    tokens, logits = torch.randint(VOCAB_SIZE, (40, 12)), torch.randn(40, VOCAB_SIZE)
    for value in values:
        expected = processor(value)(tokens, logits.clone())
        assert torch.equal(ours(logits, value, history_of(tokens, 5)), expected)


def test_ngrams_that_cannot_repeat_yet_bar_nothing() -> None:
    logits = torch.randn(2, VOCAB_SIZE)
    assert torch.equal(bar_repeated_ngrams(logits, 5, history_of(torch.zeros(2, 3, dtype=torch.int64), 1)), logits)


@pytest.mark.parametrize("new", [0, 3, 4])
def test_the_minimum_length_is_that_of_transformers(new: int) -> None:
    tokens, logits = torch.randint(VOCAB_SIZE, (4, 6 + new)), torch.randn(4, VOCAB_SIZE)
    processor = theirs.MinNewTokensLengthLogitsProcessor(6, 4, torch.tensor([2, 5]), device="cpu")
    ours = bar_stop_tokens(logits, 4, history_of(tokens, new, (2, 5)))
    assert torch.equal(ours, processor(tokens, logits.clone()))
    assert ours.isneginf().any() == (new < 4)


def test_stop_tokens_past_the_vocabulary_need_no_bar() -> None:
    logits = torch.randn(1, VOCAB_SIZE)
    history = history_of(torch.zeros(1, 1, dtype=torch.int64), 0, (VOCAB_SIZE,))
    assert torch.equal(bar_stop_tokens(logits, 4, history), logits)


@pytest.mark.parametrize("penalty", [-2.0, 0.7, 2.0])
def test_frequency_and_presence_are_openai_s_formula(penalty: float) -> None:
    """μ[j] − c[j] · frequency − (c[j] > 0) · presence, c of what was written; the prompt does not count."""
    tokens, logits = torch.randint(VOCAB_SIZE, (20, 9)), torch.randn(20, VOCAB_SIZE, dtype=torch.float64)
    history = history_of(tokens, 6)
    by_frequency, by_presence = (
        penalize_frequency(logits, penalty, history),
        penalize_presence(logits, penalty, history),
    )
    for row in range(20):
        written = tokens[row, 3:].tolist()
        for token in range(VOCAB_SIZE):
            count, logit = written.count(token), float(logits[row, token])
            assert float(by_frequency[row, token]) == pytest.approx(logit - count * penalty)
            assert float(by_presence[row, token]) == pytest.approx(logit - (count > 0) * penalty)


def test_a_prefix_is_forced_token_by_token() -> None:
    logits, tokens = torch.randn(2, VOCAB_SIZE), torch.randint(VOCAB_SIZE, (2, 8))
    for new, token in enumerate((3, 7)):
        forced = force_prefix(logits, (3, 7), history_of(tokens, new))
        assert torch.equal(forced, theirs.ForcedBOSTokenLogitsProcessor(token)(tokens[:, :1], logits.clone()))
    assert torch.equal(force_prefix(logits, (3, 7), history_of(tokens, 2)), logits)


@pytest.mark.parametrize(
    "step, value",
    [(penalize_repetition, 1.5), (penalize_frequency, 1.0), (penalize_presence, 1.0), (bar_repeated_ngrams, 2)],
)
def test_a_short_row_among_longer_ones_is_treated_as_alone(step: Any, value: Any) -> None:
    alone, logits = torch.tensor([[4, 0, 4, 0]]), torch.randn(1, VOCAB_SIZE)
    beside = torch.cat((torch.full((1, 5), NO_TOKEN), alone), dim=1)
    expected = step(logits, value, history_of(alone, 2))
    assert torch.equal(step(logits, value, history_of(beside, 2)), expected)
    assert not torch.equal(expected, logits)


def test_what_cannot_be_chosen_stays_so() -> None:
    logits, tokens = torch.full((1, VOCAB_SIZE), -math.inf), torch.tensor([[1, 2, 1]])
    for step, value in ((penalize_repetition, 0.5), (penalize_frequency, -2.0), (penalize_presence, -2.0)):
        assert step(logits, value, history_of(tokens, 2)).isneginf().all()


def test_runs_that_are_never_written_are_those_of_transformers() -> None:
    tokens, logits = torch.randint(4, (60, 3)), torch.randn(60, VOCAB_SIZE)
    runs = [[9], [1, 2], [0, 3, 1], [1, 3, 1, 2, 0], [10]]
    expected = theirs.NoBadWordsLogitsProcessor(runs, 2)(tokens, logits.clone())
    ours = obey(logits, history_of(tokens, 2)._replace(barred=tuple(map(tuple, runs))))
    assert torch.equal(ours, expected)
    assert len({*ours.isneginf().sum(dim=-1).tolist()}) > 1


def test_tokens_that_never_come_or_not_first_are_those_of_transformers() -> None:
    logits = torch.randn(4, VOCAB_SIZE)
    for new in range(4):
        tokens = torch.randint(VOCAB_SIZE, (4, 5 + new))
        history = history_of(tokens, new)._replace(barred=((3,), (8,)))
        expected = theirs.SuppressTokensLogitsProcessor([3, 8])(tokens, logits.clone())
        assert torch.equal(obey(logits, history), expected)
        for forced in (0, 2):  # theirs counts a forced beginning to the prompt, too
            at_begin = theirs.SuppressTokensAtBeginLogitsProcessor([2, 7], 5 + forced)
            ours = obey(logits, history._replace(barred_first=(2, 7), num_forced=forced))
            free = expected if new >= forced else logits  # what is forced comes in any case
            assert torch.equal(ours, at_begin(tokens, free.clone()))
            assert torch.equal(ours, free) == (new != forced)


def test_the_last_token_of_the_longest_text_is_that_of_transformers() -> None:
    tokens, logits = torch.randint(VOCAB_SIZE, (3, 6)), torch.randn(3, VOCAB_SIZE)
    history = history_of(tokens, 4)._replace(last=(2, 7))
    expected = theirs.ForcedEOSTokenLogitsProcessor(7, [2, 7])(tokens, logits.clone())
    assert torch.equal(obey(logits, history._replace(limits_B=torch.tensor([5, 5, 5]))), expected)
    apart = obey(logits, history._replace(limits_B=torch.tensor([5, 6, 9])))
    assert torch.equal(apart, torch.cat((expected[:1], logits[1:])))
    assert torch.equal(obey(logits, history), logits)
