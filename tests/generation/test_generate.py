"""The loop: side by side = alone, cached = computed anew, for every positional scheme and norm placement."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.generation.tiny import PADDING, VOCAB_SIZE, greedy, prompts_of, row, tiny
from zoo.batch import PADDING_DOCUMENT
from zoo.errors import ConfigError, DataError, ZooError
from zoo.generation.generate import Step, generate, generate_steps
from zoo.generation.history import History
from zoo.generation.roles import TokenRoles
from zoo.generation.room import DEFAULT_NEW_TOKENS
from zoo.generation.sample import SamplingConfig
from zoo.models import Model
from zoo.nn.positions import PositionsConfig
from zoo.nn.residual import PLACEMENTS

POSITIONS = sorted(PositionsConfig.choices)
ROLES = TokenRoles(VOCAB_SIZE, PADDING)
LENGTHS, NEW = (5, 1, 8), 4
VARIANTS: dict[str, dict[str, Any]] = {
    "grouped": {"num_kv_heads": 2},
    "window": {"attention": {"window": 2}},
    "reference": {"attention": {"kernel": "reference"}},
    "one block": {"sharing": "all"},
    "looped blocks": {"num_layers": 4, "sharing": {"kind": "cycle", "num_blocks": 2}},
    "other layers": {"layers": {"1": {"num_heads": 2, "attention": {"window": 1}, "positions": "none"}}},
    "parallel": {"block": "parallel"},
    "factorized": {"embedding": {"factorization": {"dim": 6}}},
    "capped and padded": {"vocab_multiple": 8, "heads": {"language_model": {"kind": "language_model", "cap": 3.0}}},
}


def record(model: Model, prompts: Sequence[Sequence[int]], new: int = NEW) -> tuple[list[list[int]], Tensor]:
    """What is written greedily behind each prompt, and the logits (B, new, V) that it was chosen from."""
    seen: list[Tensor] = []

    def choose(logits_BV: Tensor, _: History) -> Tensor:
        seen.append(logits_BV.clone())
        return greedy(logits_BV)

    steps = list(generate_steps(model, prompts, ROLES, choose, max_new_tokens=new))
    return torch.stack([step.tokens_B for step in steps], dim=1).tolist(), torch.stack(seen, dim=1)


@torch.inference_mode()
def anew(model: Model, prompts: Sequence[Sequence[int]], written: Sequence[Sequence[int]], side: str) -> Tensor:
    """The logits of each written token, all from one forward without a cache over rows padded on one side."""
    if model.config.kind == "encoder_decoder":
        inputs = layout(prompts, side)
        outputs = {f"decoder_{name}": value for name, value in layout([[PADDING, *w] for w in written], side).items()}
        return logits_of(model(**inputs, **outputs), outputs["decoder_documents"], written)
    inputs = layout([[*p, *w] for p, w in zip(prompts, written, strict=True)], side)
    return logits_of(model(**inputs), inputs["documents"], written)


def layout(rows: Sequence[Sequence[int]], side: str) -> dict[str, Tensor]:
    """Rows padded on the left or the right, and a padding place on both sides for good measure."""
    width = max(map(len, rows)) + 2
    tokens = torch.full((len(rows), width), PADDING)
    documents = torch.full((len(rows), width), PADDING_DOCUMENT)
    positions = torch.zeros_like(tokens)
    for index, tokens_of_row in enumerate(rows):
        length = len(tokens_of_row)
        start = width - 1 - length if side == "left" else 1
        tokens[index, start : start + length] = torch.tensor(tokens_of_row)
        documents[index, start : start + length] = 0
        positions[index, start : start + length] = torch.arange(length)
    return {"tokens": tokens, "documents": documents, "positions": positions}


def logits_of(outputs: dict[str, Tensor], documents: Tensor, written: Sequence[Sequence[int]]) -> Tensor:
    """(B, new, V): the logits at the place before each written token; the last written one stands at the row's end."""
    rows = []
    for index, tokens in enumerate(written):
        places = (documents[index] == 0).nonzero()[:, 0]
        rows.append(outputs["language_model"][index, places[-len(tokens) - 1 : -1]])
    return torch.stack(rows)


def check(model: Model) -> None:
    """Law 4 for one model: cached and left-padded = each prompt alone = computed anew, padded on either side."""
    prompts = prompts_of(LENGTHS)
    written, logits = record(model, prompts)
    for index, prompt in enumerate(prompts):
        alone, alone_logits = record(model, [prompt])
        assert alone[0] == written[index]
        torch.testing.assert_close(logits[index : index + 1], alone_logits, rtol=0, atol=1e-12)
    for side in ("left", "right"):
        torch.testing.assert_close(logits, anew(model, prompts, written, side), rtol=0, atol=1e-12)
    assert logits.abs().max() > 0.1  # something was compared


@pytest.mark.parametrize("placement", list(PLACEMENTS))
@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("family", ["decoder", "encoder_decoder"])
def test_the_fast_path_equals_the_slow_path(family: str, positions: str, placement: str) -> None:
    check(tiny(family, positions=positions, placement=placement))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("family", ["decoder", "encoder_decoder"])
def test_the_fast_path_equals_the_slow_path_in_every_attention(family: str, variant: str) -> None:
    check(tiny(family, positions="rotary", **VARIANTS[variant]))


@pytest.mark.parametrize("family", ["decoder", "encoder_decoder"])
def test_neighbours_do_not_matter_to_what_is_drawn(family: str) -> None:
    model, prompts = tiny(family, positions="alibi"), prompts_of(LENGTHS)
    sampling = SamplingConfig(temperature=1.5, top_p=0.9, seed=4)
    first = generate(model, prompts, ROLES, max_new_tokens=12, sampling=sampling)
    other = generate(model, [[7] * 12, prompts[1], [3]], ROLES, max_new_tokens=12, sampling=sampling)
    assert first[1].tokens == other[1].tokens
    assert first[0].tokens != other[0].tokens
    assert generate(model, prompts[:1], ROLES, max_new_tokens=12, sampling=sampling)[0].tokens == first[0].tokens


@pytest.mark.parametrize("family", ["decoder", "encoder_decoder"])
def test_a_stop_token_ends_its_own_row_only(family: str) -> None:
    model, prompts = tiny(family, positions="rotary"), prompts_of((5, 1, 8, 3))
    sampling = SamplingConfig(temperature=2.0)
    free = generate(model, prompts, ROLES, max_new_tokens=10, sampling=sampling)
    stop = free[2].tokens[3]
    stopped = generate(model, prompts, ROLES._replace(stop=(stop,)), max_new_tokens=10, sampling=sampling)
    for before, after in zip(free, stopped, strict=True):
        cut = before.tokens.index(stop) if stop in before.tokens else 10
        assert after.tokens == before.tokens[:cut]
        # One more where the row ended by itself: that of the token that ended it.
        assert after.log_probabilities == pytest.approx(before.log_probabilities[: cut + 1])
    assert len({len(row.tokens) for row in stopped}) > 1
    assert len(stopped[2].tokens) <= 3


def test_it_ends_when_every_row_has_ended() -> None:
    model, prompts = tiny("decoder", positions="rotary"), prompts_of((5, 1))
    written, _ = record(model, prompts, 10)
    stops = (written[0][2], written[1][4])
    steps = list(generate_steps(model, prompts, ROLES._replace(stop=stops), greedy, max_new_tokens=10))
    ends = [min(row.index(stop) for stop in stops if stop in row) + 1 for row in written]
    assert len(steps) == max(ends)
    assert torch.stack([step.live_B for step in steps]).sum(dim=0).tolist() == ends


def test_log_probabilities_are_those_of_the_model() -> None:
    model, (prompt,) = tiny("decoder"), prompts_of((5,))
    (written,) = generate(model, [prompt], ROLES, max_new_tokens=6, sampling=SamplingConfig(temperature=3.0))
    with torch.inference_mode():
        logits = model(tokens=row([*prompt, *written.tokens]))["language_model"][0, len(prompt) - 1 : -1]
    expected = logits.log_softmax(-1)[range(6), written.tokens].tolist()
    assert written.log_probabilities == pytest.approx(expected, abs=1e-12)


def test_ids_past_the_tokenizer_are_never_written() -> None:
    model, prompts = tiny("decoder"), prompts_of((5, 1))
    roles = ROLES._replace(vocab_size=4)
    for written in generate(model, prompts, roles, max_new_tokens=12, sampling=SamplingConfig(temperature=5.0)):
        assert set(written.tokens) <= {0, 1, 2, 3}


@pytest.mark.parametrize("family, left", [("decoder", 20), ("encoder_decoder", 24)])
def test_learned_positions_are_used_up_and_not_passed(family: str, left: int) -> None:
    model, prompts = tiny(family, positions="learned"), prompts_of((5, 2))
    assert [len(written.tokens) for written in generate(model, prompts, ROLES, max_new_tokens=left)] == [left, left]
    with pytest.raises(
        DataError, match=rf"only {left} are left: .*24 learned positions are taken.*ask for at most {left}"
    ):
        generate(model, prompts, ROLES, max_new_tokens=left + 1)


def test_without_a_number_each_row_gets_what_its_positions_allow() -> None:
    model, prompts = tiny("decoder", positions="learned"), prompts_of((5, 24, 1))
    lengths = [len(written.tokens) for written in generate(model, prompts, ROLES)]
    assert lengths == [20, 1, 24]
    alone = generate(model, prompts[:1], ROLES)[0].tokens
    assert generate(model, prompts, ROLES)[0].tokens == alone
    free = tiny("decoder", positions="rotary")
    assert [len(written.tokens) for written in generate(free, prompts, ROLES)] == [DEFAULT_NEW_TOKENS] * 3


@pytest.mark.parametrize("family", ["decoder", "encoder_decoder"])
def test_wrong_input_is_refused_before_any_work(family: str) -> None:
    model = tiny(family, positions="learned")

    def start(prompts: list[list[int]], new: int | None = 3) -> list[Step]:
        with pytest.raises(ZooError) as caught:
            generate_steps(model, prompts, ROLES, greedy, max_new_tokens=new)
        raise caught.value

    with pytest.raises(DataError, match="text 1: the prompt is empty"):
        start([[1], []])
    with pytest.raises(DataError, match="25 tokens and the model has 24"):
        start([[1] * 25])
    with pytest.raises(ConfigError, match="max_new_tokens: 0 must be at least 1"):
        start([[1]], 0)
    assert generate(model, [], ROLES) == []


def test_models_that_cannot_write_say_so() -> None:
    with pytest.raises(ZooError, match="'encoder' cannot write"):
        generate(tiny("encoder"), [[1]], ROLES)
    with pytest.raises(ZooError, match="no head 'language_model'"):
        generate(tiny("decoder", heads={}), [[1]], ROLES)


def test_what_runs_between_two_steps_is_not_in_inference_mode() -> None:
    for _ in generate_steps(tiny("decoder"), [[1]], ROLES, greedy, max_new_tokens=2):
        assert not torch.is_inference_mode_enabled()


def test_what_is_not_asked_for_is_not_scored() -> None:
    model, prompts = tiny("decoder"), prompts_of((5, 1))
    scored = generate(model, prompts, ROLES, max_new_tokens=6)
    bare = generate(model, prompts, ROLES, max_new_tokens=6, scored=False)
    assert [row.tokens for row in bare] == [row.tokens for row in scored]
    assert [row.log_probabilities for row in bare] == [[], []]
