"""Small models decode in one thread; afterwards all is as it was."""

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from tests.generation.tiny import PADDING, VOCAB_SIZE, prompts_of, tiny
from zoo.generation.generate import generate_steps
from zoo.generation.roles import TokenRoles
from zoo.generation.sample import Sampler, SamplingConfig
from zoo.generation.threads import is_small, one_thread


@pytest.fixture(autouse=True)
def _two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_a_model_is_small_if_each_of_its_matrices_is() -> None:
    small, large = nn.Linear(256, 256), nn.Linear(512, 512)
    assert is_small(nn.Sequential(*[small] * 9))
    assert not is_small(nn.Sequential(small, large))
    assert is_small(nn.LayerNorm(1 << 18))  # a vector


@pytest.mark.parametrize("wanted, expected", [(True, 1), (False, 2)])
def test_threads_come_back(wanted: bool, expected: int) -> None:
    def fails() -> None:
        with one_thread(wanted):
            assert torch.get_num_threads() == expected
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("family", ["decoder", "encoder_decoder"])
def test_prompts_are_read_in_all_threads_and_written_behind_in_one(family: str) -> None:
    model, seen = tiny(family), []
    stack = model.backbone.stack if family == "decoder" else model.backbone.decoder
    stack.register_forward_hook(lambda module, inputs, output: seen.append((output.shape[1], torch.get_num_threads())))
    roles, choose = TokenRoles(VOCAB_SIZE, PADDING), Sampler(SamplingConfig(), range(2))
    for _ in generate_steps(model, prompts_of((5, 3)), roles, choose, max_new_tokens=3):
        assert torch.get_num_threads() == 2
    first = [(5, 2)] if family == "decoder" else [(1, 1)]
    assert seen == [*first, (1, 1), (1, 1)]
