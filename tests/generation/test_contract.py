"""Law 4 for all of generation: cached = uncached = left-padded = right-padded = alone, greedy, drawn and with beams.

Every family × positional scheme × way of decoding × cache, and every kind of attention in the loop, as registered now.
The ways of decoding are made of a value for each field of `DecodingConfig`: all fields of a table together, and each by
itself. The references are written out here: they keep no cache and compute every row anew, whole, at each step.
"""

import contextlib
import dataclasses
import itertools
import math
import typing
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from tests.generation.test_cache_contract import ATTENTIONS, REFUSED
from tests.generation.test_generate import layout
from tests.generation.tiny import PADDING, VOCAB_SIZE, pretrained, prompts_of, tiny
from tests.generation.vocabularies import tokenizer_of
from zoo.errors import ConfigError
from zoo.field_types import check_value
from zoo.generation import windowed_cache
from zoo.generation.abilities import ABILITIES
from zoo.generation.cache import CacheConfig
from zoo.generation.decoding import DecodingConfig, decode
from zoo.generation.embed import POOLINGS
from zoo.generation.history import History, begin
from zoo.generation.roles import TokenRoles
from zoo.generation.sample import LIMITS, PENALTIES, Row, Sampler
from zoo.generation.stop import StoppingStream
from zoo.generation.stream import TextStream
from zoo.models import Model
from zoo.nn.positions import PositionsConfig

POSITIONS = sorted(PositionsConfig.choices)
CACHES = sorted(CacheConfig.choices)
WRITERS = [family for family, abilities in ABILITIES.items() if "generate" in abilities]
ROLES = TokenRoles(VOCAB_SIZE, PADDING, stop=(3, 11, 17, 19))
LENGTHS, NEW = (5, 1, 8), 6
TOKENIZER = tokenizer_of("characters")
"""A character for each id, which is what stop strings are made of."""
CHOSEN: dict[str, Any] = {
    "temperature": 1.5,
    "top_k": 9,
    "min_p": 0.03,
    "repetition_penalty": 1.5,
    "frequency_penalty": 1.0,
    "presence_penalty": 1.2,
    "min_new_tokens": 4,
    "prefix_tokens": (5, 7),
    "seed": 3,
    "num_beams": 3,
    "length_penalty": 0.3,
    "best_of": 3,
    "num_return": 2,
    "stop": ("ee", "hh", "TA", "oo", "k,k"),
}
"""Values at which a field of `DecodingConfig` has an effect on texts as short as these, where it is not any value."""
FIELDS = {field.name: field for field in dataclasses.fields(DecodingConfig) if field.name != "cache"}


def value_of(name: str) -> Any:
    """What the contract gives a field: the chosen value, or the first that its type and its bounds allow."""
    kind = typing.get_type_hints(DecodingConfig)[name]
    for value in [CHOSEN[name]] if name in CHOSEN else (True, 2, 0.9, 1.5, -0.5, (4, 9)):
        with contextlib.suppress(ConfigError):
            check_value(kind, value, FIELDS[name].metadata)
            if value != FIELDS[name].default:
                return value
    raise AssertionError(f"{name} needs a value in CHOSEN")


VALUES = {name: value_of(name) for name in FIELDS}
"""What the contract gives each field; a cache is a part of each of its cells."""


def of_fields(*names: str, **others: Any) -> dict[str, Any]:
    """These fields with their value here, and others with another one."""
    return {**{name: VALUES[name] for name in names}, **others}


DRAWN, BEAMS, ENDS = ("temperature", "seed"), ("num_beams", "num_return"), ("stop", "stop_tokens")
DECODINGS: dict[str, dict[str, Any]] = {
    "greedy": {},
    "penalized": of_fields(*PENALTIES, *ENDS),
    "drawn": of_fields(*DRAWN, *LIMITS, "num_return"),
    "best of drawn": of_fields(*DRAWN, *PENALTIES, *ENDS, "best_of", "num_return"),
    "beams": of_fields(*BEAMS, num_return=3),
    "penalized beams": of_fields(*BEAMS, *PENALTIES, *ENDS, "length_penalty", "early_stopping"),
    "patient beams": of_fields(*BEAMS, *ENDS, "min_new_tokens", length_penalty=2.0, early_stopping="never"),
}
"""A name → settings; between them they have every field, and a new row of a table is in them at once."""


def singly() -> dict[str, dict[str, Any]]:
    """Each field by itself, over each way of choosing that it goes with."""
    found = {}
    for way, name in itertools.product(((), DRAWN, BEAMS), VALUES):
        settings = of_fields(*way, name)
        try:
            DecodingConfig(**settings)
        except ConfigError:
            continue  # such as a limit of drawing over greedy choice
        if name not in way:
            found[f"{name} over {'+'.join(way) or 'greedy'}"] = settings
    return found


SINGLY = singly()
FEW = [("decoder", "rotary"), ("decoder", "learned"), ("encoder_decoder", "relative")]
CELLS = list(itertools.product(WRITERS, POSITIONS))

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


def history_of(model: Model, prompt: Sequence[int], written: list[int], config: DecodingConfig) -> History:
    before = [PADDING] if model.config.kind == "encoder_decoder" else list(prompt)
    history = begin([[*before, *written]], (*ROLES.stop, *config.stop_tokens), torch.device("cpu"))
    return history._replace(num_new=len(written))


def is_end(token: int, config: DecodingConfig) -> bool:
    return token in ROLES.stop or token in config.stop_tokens


def is_stopped(written: list[int], config: DecodingConfig) -> bool:
    text = TOKENIZER.decode(written)
    return any(stop in text for stop in config.stop)


def written_by_hand(
    model: Model, prompts: Sequence[Sequence[int]], next_logits: Next, config: DecodingConfig
) -> list[list[Text]]:
    """Greedy choice or draws, `config.samples` rows of each prompt, each with a sampler of its own."""
    texts = []
    for number, prompt in enumerate(prompts):
        samples = []
        for sample in range(config.samples):
            choose, written, total = Sampler(config, [Row(number, sample)]), [], 0.0
            while not written or not (
                is_end(written[-1], config) or is_stopped(written, config) or len(written) == NEW
            ):
                logits = next_logits([number], [written])
                token = int(choose(logits, history_of(model, prompt, written, config))[0])
                total += float(logits.log_softmax(-1)[0, token])
                written = [*written, token]
            text = written[:-1] if is_end(written[-1], config) else written
            samples.append(Text(text, total / len(written)))
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
                scores = config.penalties(row[None], history_of(model, prompt, written, config))[0]
                candidates += [(total + float(score), [*written, token]) for token, score in enumerate(scores)]
            num_stop = len({*ROLES.stop, *config.stop_tokens})
            candidates = [one for one in candidates if one[0] > -math.inf]
            candidates = sorted(candidates, reverse=True)[: (1 + num_stop) * config.num_beams]
            silent = [is_end(tokens[-1], config) for _, tokens in candidates]
            ends = [
                length == NEW or end or is_stopped(tokens, config)
                for (_, tokens), end in zip(candidates, silent, strict=True)
            ]
            for (total, tokens), end, no_text in list(zip(candidates, ends, silent, strict=True))[: config.num_beams]:
                if end:
                    finished.append(Text(tokens[:-1] if no_text else tokens, total / length**config.length_penalty))
            finished = sorted(finished, key=lambda one: -one.score)[: config.num_beams]
            running = [one for one, end in zip(candidates, ends, strict=True) if not end][: config.num_beams]
            if not running or (len(finished) == config.num_beams and settled(running[0][0], length, finished, config)):
                break
        texts.append(finished[: config.count])
    return texts


def settled(total: float, length: int, finished: Sequence[Text], config: DecodingConfig) -> bool:
    """Whether no running beam, the best of which has this sum and length, could better what is finished."""
    if config.early_stopping is True:
        return True
    hoped = NEW if config.early_stopping == "never" and config.length_penalty > 0 else length
    return total / hoped**config.length_penalty <= finished[-1].score


def by_hand(
    model: Model, prompts: Sequence[Sequence[int]], next_logits: Next, config: DecodingConfig
) -> list[list[Text]]:
    written = searched_by_hand if config.num_beams > 1 else written_by_hand
    return written(model, prompts, next_logits, config)


def same(ours: Sequence[Sequence[Text]], others: Sequence[Sequence[Text]], error: float = 1e-10) -> None:
    for texts, expected in zip(ours, others, strict=True):
        assert [one.tokens for one in texts] == [one.tokens for one in expected]
        assert [one.score for one in texts] == pytest.approx([one.score for one in expected], abs=error)


def decoded(model: Model, prompts: Sequence[Sequence[int]], config: DecodingConfig, cache: str, first: int = 0) -> Any:
    config = dataclasses.replace(config, cache=CacheConfig.choice(cache)())
    streams = (lambda _: StoppingStream(TextStream(TOKENIZER), config.stop)) if config.stop else None
    found = decode(model, prompts, ROLES, config, max_new_tokens=NEW, first=first, streams=streams)
    return [[Text(one.row.tokens, one.score) for one in texts] for texts in found]


def check(
    model: Model,
    settings: dict[str, Any],
    caches: Sequence[str] = CACHES,
    sides: Sequence[str] = ("left", "right"),
    error: float = 1e-10,
) -> None:
    """Written by hand with padding on these sides, side by side and alone with each cache: always the same."""
    prompts, config = prompts_of(LENGTHS, 5), DecodingConfig(**settings)
    expected, *others = (by_hand(model, prompts, anew(model, prompts, side), config) for side in sides)
    for other in others:
        same(other, expected, error)
    for cache in caches:
        together = decoded(model, prompts, config, cache)
        same(together, expected, error)
        for number, prompt in enumerate(prompts):
            same(decoded(model, [prompt], config, cache, first=number), together[number : number + 1], error)
    assert any(one.tokens for texts in expected for one in texts)  # something was compared


@pytest.mark.parametrize("decoding", DECODINGS)
@pytest.mark.parametrize("family, positions", FEW, ids=str)
def test_decoding_keeps_the_law(family: str, positions: str, decoding: str) -> None:
    sides = ("left", "right") if (family, positions) == FEW[0] else ("left",)
    check(model_of(family, positions), DECODINGS[decoding], ["growing"], sides)


@pytest.mark.slow
@pytest.mark.parametrize("decoding", DECODINGS)
@pytest.mark.parametrize("family", WRITERS)
def test_decoding_keeps_the_law_in_every_combination(family: str, decoding: str) -> None:
    for positions in POSITIONS:
        check(model_of(family, positions), DECODINGS[decoding], sides=("right",))


@pytest.mark.slow
@pytest.mark.parametrize("family", WRITERS)
def test_every_field_by_itself_keeps_the_law(family: str) -> None:
    """With one positional scheme after the other."""
    for settings, positions in zip(SINGLY.values(), itertools.cycle(POSITIONS)):
        check(model_of(family, positions), settings, ["growing"], ("left",))


@pytest.mark.slow
@pytest.mark.parametrize("name", SINGLY)
def test_every_value_changes_what_is_written(name: str) -> None:
    """Else the contract would hold with a field that nobody reads."""
    prompts, way = prompts_of(LENGTHS, 5), name.split(" over ")[1]
    without = of_fields(*(() if way == "greedy" else way.split("+")))
    changed = False
    for family, positions in FEW:
        model = model_of(family, positions)
        with_it, found = (decoded(model, prompts, DecodingConfig(**one), "growing") for one in (SINGLY[name], without))
        changed = changed or with_it != found
    assert changed


def decoding_for(index: int) -> dict[str, Any]:
    """One way of decoding after the other."""
    return list(DECODINGS.values())[index % len(DECODINGS)]


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_every_attention_keeps_the_law_while_it_decodes(attention: str) -> None:
    """With one family and positional scheme after the other, and one way of decoding."""
    index = list(ATTENTIONS).index(attention)
    family, positions = CELLS[5 * index % len(CELLS)]
    model = tiny(family, **{"positions": positions, **ATTENTIONS[attention]})
    check(model, decoding_for(3 * index), ["static"], ("left",))


@pytest.mark.slow
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_every_attention_keeps_the_law_with_every_decoding(attention: str) -> None:
    for index, (family, decoding) in enumerate(itertools.product(WRITERS, DECODINGS)):
        positions = POSITIONS[index % len(POSITIONS)]
        if (family, positions, attention) not in REFUSED:
            model = tiny(family, **{"positions": positions, **ATTENTIONS[attention]})
            check(model, DECODINGS[decoding], ["growing"], ("left",))


@pytest.mark.parametrize(
    "decoding, cache", [("penalized", "growing"), ("best of drawn", "windowed"), ("beams", "static")]
)
def test_decoding_keeps_the_law_in_single_precision(decoding: str, cache: str) -> None:
    for family, positions in FEW:
        check(model_of(family, positions).float(), DECODINGS[decoding], [cache], ("right",), 1e-4)


def test_every_field_of_decoding_is_under_contract() -> None:
    assert set(CHOSEN) <= set(FIELDS)
    assert set().union(*DECODINGS.values()) == set(FIELDS), "a field of DecodingConfig needs a place in DECODINGS"
    assert {name.split(" over ")[0] for name in SINGLY} | {*DRAWN, *BEAMS} == set(FIELDS)
    for name, value in VALUES.items():
        assert value != FIELDS[name].default


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
