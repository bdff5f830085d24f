"""Law 4 for all of generation: cached = uncached = left-padded = right-padded = alone, greedy, drawn and with beams.

Every family × positional scheme × way of decoding × cache, as registered now. The references are written out here: they
keep no cache and compute every row anew, whole, at each step, padded on either side.
"""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from tests.generation.test_generate import layout
from tests.generation.tiny import PADDING, VOCAB_SIZE, pretrained, prompts_of, tiny
from zoo.generation import windowed_cache
from zoo.generation.abilities import ABILITIES
from zoo.generation.cache import CacheConfig
from zoo.generation.decoding import DecodingConfig, decode
from zoo.generation.embed import POOLINGS
from zoo.generation.generate import TokenRoles
from zoo.generation.history import History, begin
from zoo.generation.sample import Row, Sampler
from zoo.models import Model
from zoo.nn.positions import PositionsConfig

POSITIONS = sorted(PositionsConfig.choices)
CACHES = sorted(CacheConfig.choices)
WRITERS = [family for family, abilities in ABILITIES.items() if "generate" in abilities]
ROLES = TokenRoles(VOCAB_SIZE, PADDING, stop=(3, 11, 17, 19))
LENGTHS, NEW = (5, 1, 8), 6
DECODINGS: dict[str, dict[str, Any]] = {
    "greedy": {},
    "penalized": {"repetition_penalty": 1.5, "no_repeat_ngram_size": 2, "min_new_tokens": 3, "presence_penalty": 0.5},
    "drawn": {"temperature": 1.5, "top_p": 0.9, "typical_p": 0.9, "seed": 3, "num_return": 2},
    "beams": {"num_beams": 3, "num_return": 3},
    "penalized beams": {
        "num_beams": 2,
        "num_return": 2,
        "repetition_penalty": 1.5,
        "length_penalty": 0.3,
        "min_new_tokens": 2,
    },
}
FEW = [("decoder", "rotary"), ("decoder", "learned"), ("encoder_decoder", "relative")]

Next = Callable[[list[int], list[list[int]]], Tensor]
"""Numbers of prompts and what was written behind each (N rows) to the logits (N, V) of what comes next."""


@pytest.fixture(autouse=True)
def _little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """A windowed cache rolls over within rows as short as these."""
    monkeypatch.setattr(windowed_cache, "SPARE", 1)


class Text(NamedTuple):
    """What was written behind a prompt, and what it was ranked by."""

    tokens: list[int]
    score: float


def model_of(family: str, positions: str) -> Model:
    """Grouped heads, and a window in one of two layers."""
    return tiny(family, positions=positions, num_kv_heads=2, layers={"1": {"attention": {"window": 3}}})


def anew(model: Model, prompts: Sequence[Sequence[int]], side: str) -> Next:
    """Logits from a forward without a cache over whole rows, padded on a side."""

    @torch.inference_mode()
    def logits(numbers: list[int], written: list[list[int]]) -> Tensor:
        chosen = [list(prompts[number]) for number in numbers]
        if model.config.kind == "encoder_decoder":
            inputs, rows = layout(chosen, side), [[PADDING, *row] for row in written]
            outputs = layout(rows, side)
            found = model(**inputs, **{f"decoder_{name}": value for name, value in outputs.items()})
        else:
            outputs = layout([[*prompt, *row] for prompt, row in zip(chosen, written, strict=True)], side)
            found = model(**outputs)
        places = [int((row == 0).nonzero()[-1]) for row in outputs["documents"]]
        last: Tensor = found["language_model"][range(len(places)), places]
        return last

    return logits


def history_of(model: Model, prompt: Sequence[int], written: list[int]) -> History:
    before = [PADDING] if model.config.kind == "encoder_decoder" else list(prompt)
    history = begin([[*before, *written]], ROLES.stop, torch.device("cpu"))
    return history._replace(num_new=len(written))


def written_by_hand(
    model: Model, prompts: Sequence[Sequence[int]], next_logits: Next, config: DecodingConfig
) -> list[list[Text]]:
    """Greedy choice or draws, `config.samples` rows of each prompt, each with a sampler of its own."""
    texts = []
    for number, prompt in enumerate(prompts):
        samples = []
        for sample in range(config.samples):
            choose, written, total = Sampler(config, [Row(number, sample)]), [], 0.0
            ended = False
            while not ended and len(written) < NEW:
                logits = next_logits([number], [written])
                token = int(choose(logits, history_of(model, prompt, written))[0])
                total += float(logits.log_softmax(-1)[0, token])
                ended = token in ROLES.stop
                written = [*written, token]
            samples.append(Text(written[:-1] if ended else written, total / len(written)))
        texts.append(sorted(samples, key=lambda one: -one.score)[: config.count])
    return texts


def searched_by_hand(
    model: Model, prompts: Sequence[Sequence[int]], next_logits: Next, config: DecodingConfig
) -> list[list[Text]]:
    """Beam search with plain lists, one prompt after the other."""
    texts = []
    for number, prompt in enumerate(prompts):
        running: list[tuple[float, list[int]]] = [(0.0, [])]
        finished: list[Text] = []
        for length in range(1, NEW + 1):
            logits = next_logits([number] * len(running), [written for _, written in running]).log_softmax(-1)
            candidates = []
            for (total, written), row in zip(running, logits, strict=True):
                scores = config.penalties(row[None], history_of(model, prompt, written))[0]
                candidates += [(total + float(score), [*written, token]) for token, score in enumerate(scores)]
            candidates = sorted(candidates, reverse=True)[: (1 + len(ROLES.stop)) * config.num_beams]
            ends = [tokens[-1] in ROLES.stop or length == NEW for _, tokens in candidates]
            for (total, tokens), end in list(zip(candidates, ends, strict=True))[: config.num_beams]:
                if end:
                    text = tokens[:-1] if tokens[-1] in ROLES.stop else tokens
                    finished.append(Text(text, total / length**config.length_penalty))
            finished = sorted(finished, key=lambda one: -one.score)[: config.num_beams]
            running = [one for one, end in zip(candidates, ends, strict=True) if not end][: config.num_beams]
            if not running or (
                len(finished) == config.num_beams
                and running[0][0] / length**config.length_penalty <= finished[-1].score
            ):
                break
        texts.append(finished[: config.count])
    return texts


def same(ours: Sequence[Sequence[Text]], others: Sequence[Sequence[Text]]) -> None:
    for texts, expected in zip(ours, others, strict=True):
        assert [one.tokens for one in texts] == [one.tokens for one in expected]
        assert [one.score for one in texts] == pytest.approx([one.score for one in expected], abs=1e-10)


def decoded(model: Model, prompts: Sequence[Sequence[int]], config: DecodingConfig, cache: str, first: int = 0) -> Any:
    config = dataclasses.replace(config, cache=CacheConfig.choice(cache)())
    found = decode(model, prompts, ROLES, config, max_new_tokens=NEW, first=first)
    return [[Text(one.row.tokens, one.score) for one in texts] for texts in found]


def check(family: str, positions: str, settings: dict[str, Any], caches: Sequence[str]) -> None:
    model, prompts, config = model_of(family, positions), prompts_of(LENGTHS, 5), DecodingConfig(**settings)
    by_hand = searched_by_hand if config.num_beams > 1 else written_by_hand
    left, right = (by_hand(model, prompts, anew(model, prompts, side), config) for side in ("left", "right"))
    same(left, right)
    for cache in caches:
        together = decoded(model, prompts, config, cache)
        same(together, left)
        for number, prompt in enumerate(prompts):
            same(decoded(model, [prompt], config, cache, first=number), together[number : number + 1])
    assert any(texts[0].tokens for texts in left)  # something was compared


@pytest.mark.parametrize("decoding", DECODINGS)
@pytest.mark.parametrize("family, positions", FEW, ids=str)
def test_decoding_keeps_the_law(family: str, positions: str, decoding: str) -> None:
    check(family, positions, DECODINGS[decoding], ["growing"])


@pytest.mark.slow
@pytest.mark.parametrize("decoding", DECODINGS)
@pytest.mark.parametrize("family", WRITERS)
def test_decoding_keeps_the_law_in_every_combination(family: str, decoding: str) -> None:
    for positions in POSITIONS:
        check(family, positions, DECODINGS[decoding], CACHES)


def test_every_choice_is_reached() -> None:
    assert set(WRITERS) == {"decoder", "encoder_decoder"}
    assert {family for family, _ in FEW} <= set(WRITERS)
    assert {position for _, position in FEW} <= set(POSITIONS)


@pytest.mark.slow
@pytest.mark.parametrize("family", ABILITIES)
def test_reading_keeps_the_law_in_every_combination(family: str) -> None:
    """Scores and vectors of texts side by side are those of each text alone, padded or not."""
    texts, more = ["The dog sees", "A", "The cat sees the dog"], [" the cat", " park", " in"]
    for positions in POSITIONS:
        model = pretrained(family, positions=positions)
        for score, *pair in zip(model.score(texts, more), texts, more, strict=True):
            assert score.log_probabilities == pytest.approx(model.score(*pair).log_probabilities, abs=1e-4)
        for pooling in POOLINGS:
            together = model.embed(texts, pooling=pooling)
            alone = torch.stack([model.embed(text, pooling=pooling) for text in texts])
            torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


def test_the_reference_can_tell_a_difference() -> None:
    model, prompts = model_of("decoder", "rotary"), prompts_of(LENGTHS, 5)
    config = DecodingConfig(num_beams=3, num_return=3)
    wrong = [[*prompt[:-1], prompt[-1] % 22 + 1] for prompt in prompts]
    found = searched_by_hand(model, prompts, anew(model, wrong, "left"), config)
    with pytest.raises(AssertionError):
        same(found, decoded(model, prompts, config, "growing"))
    assert len(list(itertools.chain(*found))) == 9
