"""`zoo generate`."""

import pytest

from tests.cli.tiny import Command, Workshop
from zoo.loading import load


def test_decoder_goes_on_with_the_prompt(workshop: Workshop, command: Command) -> None:
    status, out, err = command("generate", "runs/tiny-decoder", "Return ", "--max-new-tokens", "12")
    assert (status, err) == (0, "")
    assert out == "Return " + load("runs/tiny-decoder").generate("Return ", max_new_tokens=12) + "\n"


def test_encoder_decoder_answers(workshop: Workshop, command: Command) -> None:
    status, out, err = command("generate", "runs/tiny-encoder_decoder", "Return <extra_id_0>", "--max-new-tokens", "5")
    assert (status, err) == (0, "")
    assert out == load("runs/tiny-encoder_decoder").generate("Return <extra_id_0>", max_new_tokens=5) + "\n"


@pytest.mark.parametrize("limits", [{}, {"top_k": 40}, {"top_p": 0.9}, {"top_k": 40, "top_p": 0.9}])
def test_options_reach_the_sampler(workshop: Workshop, command: Command, limits: dict[str, float]) -> None:
    sampling = {"temperature": 1.5, "seed": 3, **limits}
    options = [part for name, value in sampling.items() for part in (f"--{name.replace('_', '-')}", value)]
    out = command("generate", "runs/tiny-decoder", "a", "--max-new-tokens", "9", *options).out
    assert out == "a" + load("runs/tiny-decoder").generate("a", max_new_tokens=9, **sampling) + "\n"
