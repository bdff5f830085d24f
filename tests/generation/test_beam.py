"""Beam search: transformers' texts and scores, exhaustive search on a toy, and each prompt as it is alone."""

import itertools
import math
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from tests.generation.tiny import PADDING, VOCAB_SIZE, prompts_of, row, tiny
from tests.interop.cases import as_saved
from zoo.errors import ConfigError, DataError, ZooError
from zoo.generation.beam import BeamConfig, Hypothesis, _Finished, beam_search
from zoo.generation.decoding import DecodingConfig, decode
from zoo.generation.generate import generate
from zoo.generation.roles import TokenRoles
from zoo.generation.room import MOST_NEW_TOKENS
from zoo.generation.sample import SamplingConfig
from zoo.generation.stop import BeamWatch, StoppingStream
from zoo.generation.stream import TextStream
from zoo.interop import read_config, to_zoo
from zoo.models import Model

ROLES = TokenRoles(VOCAB_SIZE, PADDING)
FREE = SamplingConfig()


def searched(model: Model, prompts: list[list[int]], new: int = 6, roles: TokenRoles = ROLES, **beams: Any) -> Any:
    return beam_search(model, prompts, roles, BeamConfig(**beams), FREE.penalties, max_new_tokens=new)


# -------------------------------------------------------------------------------------------------------- transformers

SIZES: dict[str, Any] = {"vocab_size": 40, "eos_token_id": 2, "bos_token_id": 1, "pad_token_id": 0}
GPT2 = (
    transformers.GPT2LMHeadModel,
    transformers.GPT2Config(n_embd=16, n_layer=2, n_head=2, n_positions=64, initializer_range=0.4, **SIZES),
)
T5 = (
    transformers.T5ForConditionalGeneration,
    transformers.T5Config(
        d_model=16,
        d_kv=8,
        d_ff=32,
        num_layers=2,
        num_heads=2,
        decoder_start_token_id=0,
        initializer_factor=2.0,
        **SIZES,
    ),
)
BART = (
    transformers.BartForConditionalGeneration,
    transformers.BartConfig(
        d_model=16,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_position_embeddings=64,
        init_std=0.5,
        decoder_start_token_id=2,
        forced_eos_token_id=None,
        **SIZES,
    ),
)
STOPS = (2, 5, 8, 11, 14, 17, 20)
"""Enough tokens that end a text for random weights to meet them."""
PAIRS = {"gpt2": GPT2, "t5": T5, "bart": BART}
SETTINGS: list[dict[str, Any]] = [
    {"num_beams": 4},
    {"num_beams": 3, "length_penalty": 0.0, "early_stopping": True},
    {"num_beams": 5, "length_penalty": 2.0, "early_stopping": "never"},
    {"num_beams": 2, "length_penalty": -1.0, "early_stopping": True},
    {"num_beams": 4, "length_penalty": 0.6, "early_stopping": "never", "repetition_penalty": 1.4},
    {"num_beams": 3, "no_repeat_ngram_size": 2, "min_new_tokens": 4},
]


def pair(name: str, seed: int) -> tuple[Any, Model]:
    """A model of theirs with random weights, and ours with the same."""
    model_class, config = PAIRS[name]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        theirs = model_class(config).eval()
        for parameter in theirs.parameters():
            if parameter.dim() == 1:
                torch.nn.init.normal_(parameter, 1.0 if name == "t5" else 0.0, 0.3)
    settings = {**config.to_dict(), "architectures": [model_class.__name__]}
    ours = read_config(config.model_type, settings).build_unset().eval()
    ours.load_state_dict(to_zoo(config.model_type, as_saved(theirs, theirs.state_dict()), settings))
    return theirs, ours


def side_by_side(prompts: list[list[int]], left: bool) -> dict[str, Tensor]:
    width = max(map(len, prompts))
    padding = [[0] * (width - len(prompt)) for prompt in prompts]
    ids = [space + prompt if left else prompt + space for space, prompt in zip(padding, prompts, strict=True)]
    mask = [
        [0] * len(space) + [1] * len(prompt) if left else [1] * len(prompt) + [0] * len(space)
        for space, prompt in zip(padding, prompts, strict=True)
    ]
    return {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask)}


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("name", PAIRS)
def test_texts_and_scores_are_those_of_transformers(name: str, settings: dict[str, Any], seed: int) -> None:
    theirs, ours = pair(name, seed)
    prompts = [[prompt % 37 + 3 for prompt in one] for one in prompts_of((5, 2, 7), seed)]
    if name == "gpt2" and "repetition_penalty" in settings:
        prompts = prompts_of((5, 5, 5), seed)  # theirs counts the padding of shorter prompts as said
    inputs = side_by_side(prompts, left=name == "gpt2")
    generated = theirs.generate(
        **inputs,
        **{"early_stopping": False, **settings},
        max_new_tokens=9,
        num_return_sequences=settings["num_beams"],
        do_sample=False,
        eos_token_id=list(STOPS),
        return_dict_in_generate=True,
        output_scores=True,
    )
    start = inputs["input_ids"].shape[1] if name == "gpt2" else 1
    expected = [
        list(itertools.takewhile(lambda t: t not in STOPS, row)) for row in generated.sequences[:, start:].tolist()
    ]
    roles = TokenRoles(40, 0, STOPS, start=None if name == "gpt2" else ours_start(name))
    fields = BeamConfig.__dataclass_fields__
    beams = BeamConfig(**{key: value for key, value in settings.items() if key in fields})
    penalties = SamplingConfig(**{key: value for key, value in settings.items() if key not in fields}).penalties
    found = beam_search(ours, prompts, roles, beams, penalties, max_new_tokens=9)
    actual = [hypothesis for of_prompt in found for hypothesis in of_prompt]
    scores = torch.tensor([hypothesis.score for hypothesis in actual])
    torch.testing.assert_close(scores, generated.sequences_scores, rtol=2e-5, atol=2e-5)
    for first in range(0, len(actual), beams.num_beams):
        # Texts with all but equal scores may come in either order, and of those at the end some may not come.
        places = range(first, first + beams.num_beams)
        clear = [place for place in places if scores[place] - scores[places[-1]] > 1e-4] or places[:1]
        assert sorted(actual[place].row.tokens for place in clear) == sorted(expected[place] for place in clear)
    if "repetition_penalty" in settings:  # the other settings may let random weights say one thing for ever
        assert len({len(tokens) for tokens in expected}) > 1


def ours_start(name: str) -> int:
    return int(PAIRS[name][1].decoder_start_token_id)


class Letters:
    """A tokenizer of which every token is one character."""

    special_ids = torch.tensor([], dtype=torch.int64)
    byte_values: dict[int, int] = {}  # noqa: RUF012

    def decode(self, tokens: list[int]) -> str:
        return "".join(chr(97 + token) for token in tokens)


STRINGS = [chr(97 + one) + chr(97 + other) for one in range(40) for other in range(40) if (7 * one + other) % 6 == 0]
"""Strings that end a text; one token in six ends one."""


class EndsAtString(transformers.StoppingCriteria):  # type: ignore[misc]
    """Theirs of these strings, which must not begin in the prompt (of a decoder theirs looks there, too)."""

    def __init__(self, start: int) -> None:
        self.start = start

    def __call__(self, input_ids: Tensor, scores: Any, **options: Any) -> Tensor:
        texts = [Letters().decode(row[self.start :].tolist()) for row in input_ids]
        return torch.tensor([any(text.endswith(stop) for stop in STRINGS) for text in texts])


def watch_of(prompts: list[list[int]]) -> BeamWatch:
    tokenizer: Any = Letters()
    return BeamWatch([StoppingStream(TextStream(tokenizer), STRINGS) for _ in prompts], silent=(2,))


@pytest.mark.parametrize("name, number", [("gpt2", 0), ("gpt2", 1), ("t5", 0), ("t5", 4), ("bart", 4)])
def test_stop_strings_end_beams_as_criteria_of_transformers_do(name: str, number: int) -> None:
    theirs, ours, settings = *pair(name, 0), SETTINGS[number]
    prompts = [[prompt % 37 + 3 for prompt in one] for one in prompts_of((5, 5, 5), 3)]
    inputs = side_by_side(prompts, left=name == "gpt2")
    start = 5 if name == "gpt2" else 1
    generated = theirs.generate(
        **inputs,
        **{"early_stopping": False, **settings},
        max_new_tokens=9,
        num_return_sequences=settings["num_beams"],
        do_sample=False,
        return_dict_in_generate=True,
        output_scores=True,
        stopping_criteria=[EndsAtString(start)],
    )
    roles = TokenRoles(40, 0, (2,), start=None if name == "gpt2" else ours_start(name))
    fields = BeamConfig.__dataclass_fields__
    beams = BeamConfig(**{key: value for key, value in settings.items() if key in fields})
    penalties = SamplingConfig(**{key: value for key, value in settings.items() if key not in fields}).penalties
    found = beam_search(ours, prompts, roles, beams, penalties, max_new_tokens=9, watch=watch_of(prompts))
    actual = [hypothesis for of_prompt in found for hypothesis in of_prompt]
    scores = torch.tensor([hypothesis.score for hypothesis in actual])
    torch.testing.assert_close(scores, generated.sequences_scores, rtol=2e-5, atol=2e-5)
    stopped = [one.row for one in actual if one.row.reason == "stop"]
    assert stopped
    assert all(Letters().decode(row.tokens).endswith(tuple(STRINGS)) for row in stopped)
    assert not any(any(stop in Letters().decode(one.row.tokens[:-1]) for stop in STRINGS) for one in actual)
    for prompt, of_prompt in enumerate(found):  # the best, unless two are all but equal
        best = generated.sequences[prompt * beams.num_beams, start:].tolist()
        if len(of_prompt) == 1 or of_prompt[0].score - of_prompt[1].score > 1e-4:
            assert of_prompt[0].row.tokens == best[: len(of_prompt[0].row.tokens)]


# ------------------------------------------------------------------------------------------------------ exhaustive


def log_probability(model: Model, prompt: list[int], tokens: tuple[int, ...]) -> list[float]:
    """The model's log-probability of each of these tokens, from one forward without a cache."""
    with torch.inference_mode():
        if model.config.kind == "encoder_decoder":
            logits = model(tokens=row(prompt), decoder_tokens=row([PADDING, *tokens]))["language_model"][0, :-1]
        else:
            logits = model(tokens=row([*prompt, *tokens]))["language_model"][0, len(prompt) - 1 : -1]
    chosen: list[float] = logits.log_softmax(-1)[range(len(tokens)), list(tokens)].tolist()
    return chosen


@pytest.mark.parametrize(
    "length_penalty", [1.0, *(pytest.param(other, marks=pytest.mark.slow) for other in (0.0, -0.5))]
)
@pytest.mark.parametrize("family", ["decoder", "encoder_decoder"])
def test_enough_beams_are_an_exhaustive_search(family: str, length_penalty: float) -> None:
    """Five tokens, of which one ends a text, and at most four of them: 341 texts, all of which are looked at."""
    model, stop, prompt = tiny(family, vocab_size=5, positions="rotary"), 4, [1, 3, 2]
    texts = [
        tokens
        for length in range(1, 5)
        for tokens in itertools.product(range(5), repeat=length)
        if stop not in tokens[:-1] and (tokens[-1] == stop or length == 4)
    ]
    ranked = sorted(
        ((sum(log_probability(model, prompt, tokens)) / len(tokens) ** length_penalty, tokens) for tokens in texts),
        reverse=True,
    )
    found = searched(
        model,
        [prompt],
        4,
        TokenRoles(5, PADDING, (stop,)),
        num_beams=len(texts),
        length_penalty=length_penalty,
        early_stopping="never",
    )[0]
    assert len(found) == len(texts) == 341
    for hypothesis, (score, tokens) in zip(found, ranked, strict=True):
        assert hypothesis.score == pytest.approx(score, abs=1e-10)
        assert hypothesis.row.tokens == [token for token in tokens if token != stop]


# ----------------------------------------------------------------------------------------------------------properties


@pytest.mark.parametrize("positions", ["learned", "relative"])
@pytest.mark.parametrize("family", ["decoder", "encoder_decoder"])
def test_each_prompt_is_searched_as_it_is_alone(family: str, positions: str) -> None:
    model, prompts = tiny(family, positions=positions), prompts_of((5, 1, 8))
    roles = ROLES._replace(stop=(3, 7))
    together = searched(model, prompts, 8, roles, num_beams=3)
    for prompt, found in zip(prompts, together, strict=True):
        same(found, searched(model, [prompt], 8, roles, num_beams=3)[0])
    config = BeamConfig(num_beams=3)
    watched = beam_search(model, prompts, roles, config, FREE.penalties, max_new_tokens=8, watch=watch_of(prompts))
    for prompt, found in zip(prompts, watched, strict=True):
        alone = beam_search(model, [prompt], roles, config, FREE.penalties, max_new_tokens=8, watch=watch_of([prompt]))
        same(found, alone[0])
    if positions == "learned":  # the other weights say something else
        assert any(one.row.reason == "stop" for found in watched for one in found)


def test_prompts_that_are_done_are_computed_no_more() -> None:
    model, prompts = tiny("decoder", positions="learned"), prompts_of((5, 1, 22))
    rows: list[int] = []
    hook = model.backbone.register_forward_hook(lambda _, inputs, __: rows.append(len(inputs[0])))
    found = beam_search(model, prompts, ROLES, BeamConfig(num_beams=2), FREE.penalties)
    hook.remove()
    assert [len(of_prompt[0].row.tokens) for of_prompt in found] == [20, 24, 3]
    assert rows == [3, *[6] * 2, *[4] * 17, *[2] * 4]


def same(ours: list[Hypothesis], others: list[Hypothesis]) -> None:
    assert [one.row.tokens for one in ours] == [one.row.tokens for one in others]
    assert [one.score for one in ours] == pytest.approx([one.score for one in others], abs=1e-10)


@pytest.mark.parametrize("family", ["decoder", "encoder_decoder"])
def test_scores_are_the_model_s_own(family: str) -> None:
    model, prompts = tiny(family, positions="rotary"), prompts_of((5, 2))
    for prompt, found in zip(
        prompts, searched(model, prompts, num_beams=3, roles=ROLES._replace(stop=(3,))), strict=True
    ):
        for score, continuation in found:
            ended = len(continuation.log_probabilities) > len(continuation.tokens)
            expected = log_probability(model, prompt, (*continuation.tokens, *([3] if ended else [])))
            assert continuation.log_probabilities == pytest.approx(expected, abs=1e-10)
            assert score == pytest.approx(sum(expected) / len(expected), abs=1e-10)


def test_there_are_fewer_texts_where_no_more_can_be() -> None:
    """None is made up: transformers would give four here, three of them of forbidden tokens."""
    config = DecodingConfig(num_beams=4, num_return=4, prefix_tokens=(5,))
    (found,) = decode(tiny("decoder"), prompts_of((4,)), ROLES, config, max_new_tokens=1)
    assert [one.row.tokens for one in found] == [[5]]
    (found,) = decode(tiny("decoder"), prompts_of((4,)), ROLES, config, max_new_tokens=2)
    assert len({tuple(one.row.tokens) for one in found}) == 4


@pytest.mark.parametrize("length_penalty", [20.0, -20.0])
def test_scores_are_numbers_at_the_bounds_of_the_length_penalty(length_penalty: float) -> None:
    finished = _Finished(BeamConfig(num_beams=2, length_penalty=length_penalty), MOST_NEW_TOKENS)
    assert all(-math.inf < finished.score(total, MOST_NEW_TOKENS) < 0 for total in (-1e-9, -1e12))


def test_one_beam_is_greedy() -> None:
    model, prompts = tiny("decoder", positions="rotary"), prompts_of((5, 2))
    greedy = generate(model, prompts, ROLES, max_new_tokens=6)
    found = searched(model, prompts, num_beams=1)
    assert [one[0].row.tokens for one in found] == [continuation.tokens for continuation in greedy]


def test_more_beams_never_find_a_worse_text_on_the_toy() -> None:
    model, prompts = tiny("decoder", positions="rotary", vocab_size=5), [[1, 2], [3]]
    best = [
        searched(model, prompts, 4, TokenRoles(5, 0), num_beams=beams, length_penalty=0.0, early_stopping="never")
        for beams in (1, 625)
    ]
    assert all(wide[0].score >= narrow[0].score - 1e-9 for narrow, wide in zip(*best, strict=True))


def test_a_prefix_costs_nothing_and_stands_in_front() -> None:
    model, prompts = tiny("decoder", positions="rotary"), prompts_of((4, 2))
    penalties = SamplingConfig(prefix_tokens=(9, 8)).penalties
    found = beam_search(model, prompts, ROLES, BeamConfig(num_beams=3), penalties, max_new_tokens=5)
    for prompt, of_prompt in zip(prompts, found, strict=True):
        rest = searched(model, [[*prompt, 9, 8]], 3, num_beams=3)[0]
        assert [one.row.tokens for one in of_prompt] == [[9, 8, *one.row.tokens] for one in rest]
        assert of_prompt[0].score * 5 == pytest.approx(rest[0].score * 3)


def test_limits_and_wrong_settings() -> None:
    model = tiny("decoder", positions="learned")
    assert searched(model, [], num_beams=3) == []
    with pytest.raises(DataError, match="only 20 are left"):
        searched(model, prompts_of((5,)), 21, num_beams=2)
    found = beam_search(model, prompts_of((22, 5)), ROLES, BeamConfig(num_beams=2), FREE.penalties)
    assert [len(of_prompt[0].row.tokens) for of_prompt in found] == [3, 20]
    for settings, key in (({"num_beams": 0}, "num_beams"), ({"early_stopping": "always"}, "early_stopping")):
        with pytest.raises(ConfigError) as caught:
            BeamConfig(**settings)
        assert caught.value.key == key
    barred, roles = SamplingConfig(no_repeat_ngram_size=1).penalties, TokenRoles(3, PADDING)
    with pytest.raises(ZooError, match="all tokens are barred"):
        beam_search(model, [[0, 1, 2]], roles, BeamConfig(num_beams=2), barred, max_new_tokens=3)


def test_logits_that_are_not_numbers_are_refused() -> None:
    model = tiny("decoder")
    with torch.no_grad():
        next(model.parameters()).fill_(math.nan)
    with pytest.raises(ZooError, match="NaN"):
        searched(model, [[1, 2]], num_beams=2)
