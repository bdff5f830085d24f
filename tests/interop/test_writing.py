"""Every architecture that writes texts writes what transformers writes, greedily and with beams."""

import pytest

from tests.interop.cases import CASES, FIRST
from tests.interop.writing import CHANGES_IN_THE_MIDST, WRITERS, ours, prompts_of, theirs, writes_the_same


def test_there_is_a_writer_of_every_architecture_that_predicts_tokens() -> None:
    encoders = {"albert", "bert", "distilbert", "modernbert", "roberta"}
    assert {CASES[name].architecture for name in WRITERS} == {*FIRST} - encoders


@pytest.mark.parametrize("num_beams", [1, 3])
@pytest.mark.parametrize("name", WRITERS)
def test_tokens(name: str, num_beams: int) -> None:
    if name in CHANGES_IN_THE_MIDST:
        pytest.skip("transformers changes the model in the midst of a text")
    assert writes_the_same(name, num_beams)


def test_another_prompt_is_another_text() -> None:
    """The comparison can fail: a prompt that differs in one token is continued otherwise."""
    name, prompts = "llama", prompts_of("llama")
    prompts[1][-1] = (prompts[1][-1] + 1) % 37
    assert ours(name, prompts, 1) != theirs(name, prompts_of(name), 1)
