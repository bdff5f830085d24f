"""What is kept from one call to the next: the same texts, and only what is new is computed."""

import functools
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from tests.generation.tiny import PADDING, VOCAB_SIZE, pretrained, prompts_of, tiny
from zoo.errors import ConfigError
from zoo.generation.generate import generate_steps
from zoo.generation.kept import Continued, Kept
from zoo.generation.roles import TokenRoles
from zoo.generation.sample import Sampler, SamplingConfig
from zoo.models import Model

ROLES = TokenRoles(VOCAB_SIZE, PADDING, stop=(3,))
SAMPLING = SamplingConfig(temperature=1.3, seed=1, repetition_penalty=1.2, no_repeat_ngram_size=3)


def written(model: Model, prompt: list[int], kept: Kept | None, new: int = 4) -> tuple[list[int], torch.Tensor]:
    """The tokens behind a prompt, and the logits that they were chosen from."""
    start = None if kept is None else functools.partial(Continued, kept)
    steps = generate_steps(model, [prompt], ROLES, Sampler(SAMPLING, [0]), max_new_tokens=new, start=start)
    found = [(int(step.tokens_B), step.logits_BV) for step in steps]
    return [token for token, _ in found], torch.cat([logits for _, logits in found])


def heard(model: Model) -> list[int]:
    """How many places each forward had, from now on."""
    widths: list[int] = []
    model.backbone.register_forward_hook(lambda _, inputs, __: widths.append(inputs[0].shape[1]))
    return widths


@pytest.mark.parametrize(
    "changes",
    [{"positions": kind} for kind in ("learned", "rotary", "alibi", "relative")]
    + [{"positions": "rotary", "attention": {"window": 3}, "num_kv_heads": 2}],
    ids=str,
)
def test_turns_are_those_that_are_computed_anew(changes: dict[str, Any]) -> None:
    model, kept, prompt = tiny("decoder", **changes), Kept(), prompts_of((3,))[0]
    widths = heard(model)
    for turn in range(3):
        widths.clear()
        tokens, logits = written(model, prompt, kept)
        assert widths[0] == 3  # then: the token that was not read yet, and two that were said
        expected = written(model, prompt, None)
        assert tokens == expected[0]
        torch.testing.assert_close(logits, expected[1], rtol=1e-10, atol=1e-10)
        prompt = [*prompt, *tokens, *prompts_of((2,), turn)[0]]


def test_what_differs_is_computed_anew() -> None:
    model, kept, prompt = tiny("decoder", positions="rotary"), Kept(), prompts_of((5,))[0]
    tokens, _ = written(model, prompt, kept)
    widths = heard(model)
    other = [*prompt[:-1], prompt[-1] % 20 + 1, *tokens, 4]
    same = tiny("decoder", positions="rotary")
    for one, asked in ((model, other), (model, prompt), (same, [*prompt, *tokens, 4])):
        widths.clear()
        seen = heard(same) if one is same else widths
        found = written(one, asked, kept)
        assert seen[0] == len(asked)
        assert found[0] == written(one, asked, None)[0]


def test_what_was_interrupted_is_not_gone_on_from() -> None:
    model, kept, prompt = tiny("decoder", positions="rotary"), Kept(), prompts_of((5,))[0]
    tokens, _ = written(model, prompt, kept)

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    hook = model.backbone.stack.norm.register_forward_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        written(model, [*prompt, *tokens, 4], kept)
    hook.remove()
    again = [*prompt, *tokens, 4]
    widths = heard(model)
    found = written(model, again, kept)[0]
    assert widths[0] == len(again)
    assert found == written(model, again, None)[0]


@pytest.mark.parametrize("follows", [True, False])
def test_two_at_once_are_each_as_it_is_alone(follows: bool) -> None:
    """The second goes on from what the first has come to, or is of another text; the first goes on by itself."""
    model, kept, prompt = tiny("decoder", positions="rotary"), Kept(), prompts_of((5,))[0]

    def begun(prompt: list[int], kept: Kept | None) -> Iterator[int]:
        start = None if kept is None else functools.partial(Continued, kept)
        steps = generate_steps(model, [prompt], ROLES, Sampler(SAMPLING, [0]), max_new_tokens=8, start=start)
        return (int(step.tokens_B) for step in steps)

    alone = list(begun(prompt, None))
    first = begun(prompt, kept)
    said = [next(first), next(first)]
    other = [*prompt, *said, 7] if follows else prompts_of((4,), 1)[0]
    second = begun(other, kept)
    answer = [next(second)]
    said.append(next(first))
    answer.append(next(second))
    assert [*said, *first] == alone
    answer += second
    assert answer == list(begun(other, None))
    widths = heard(model)
    more = [*other, *answer, 3]
    assert list(begun(more, kept)) == list(begun(more, None))
    assert widths[0] < len(more)  # the second's, which came last, was kept


def test_it_goes_with_one_prompt_of_a_decoder() -> None:
    model = pretrained("decoder", positions="rotary")
    for call in (
        lambda: model.stream(["a", "b"], kept=Kept()),
        lambda: model.stream("a", kept=Kept(), cache="static"),
        lambda: pretrained("encoder_decoder").stream("The", kept=Kept()),
    ):
        with pytest.raises(ConfigError, match="kept: it goes with one prompt of a decoder"):
            call()
    with pytest.raises(ConfigError, match=r"kept: 5 is no zoo\.generation\.kept\.Kept"):
        model.stream("a", kept=5)
