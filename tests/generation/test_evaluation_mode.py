"""Texts are written and scored without dropout amid training, and the model goes on training."""

import contextlib
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.generation.tiny import pretrained
from zoo.generation.evaluation_mode import EvaluationMode
from zoo.pretrained import Pretrained

USES: dict[str, dict[str, Callable[[Pretrained], Any]]] = {
    "encoder": {
        "fill": lambda model: model.fill("A [MASK] cat."),
        "score": lambda model: model.score("A cat."),
        "embed": lambda model: model.embed("A cat.").tolist(),
    },
    "decoder": {
        "generate": lambda model: model.generate(["A cat", "The"], max_new_tokens=6, details=True),
        "beams": lambda model: model.generate("A cat", max_new_tokens=6, num_beams=2, details=True),
        "drawn": lambda model: model.generate("A cat", max_new_tokens=6, temperature=1.0, details=True),
        "stream": lambda model: list(model.stream("A cat", max_new_tokens=6)),
        "score": lambda model: model.score("A cat."),
        "embed": lambda model: model.embed("A cat.").tolist(),
    },
    "encoder_decoder": {
        "generate": lambda model: model.generate("A cat", max_new_tokens=6, details=True),
        "fill": lambda model: model.fill("A <extra_id_0> cat."),
        "score": lambda model: model.score("A cat", "a dog"),
        "embed": lambda model: model.embed("A cat.").tolist(),
    },
}


def with_dropout(family: str) -> Pretrained:
    return pretrained(family, dropout={"embedding": 0.3, "attention": 0.3, "residual": 0.3}, max_length=32)


def modes(model: Pretrained) -> list[bool]:
    return [module.training for module in model.model.modules()]


@pytest.mark.parametrize("family, use", [(family, use) for family, uses in USES.items() for use in uses])
def test_a_model_in_training_computes_as_in_evaluation_and_stays_in_training(family: str, use: str) -> None:
    model = with_dropout(family)
    expected = USES[family][use](model)
    model.model.train()
    model.model.backbone.tokens.eval()  # somebody's frozen part
    before, stream = modes(model), torch.random.get_rng_state()
    assert USES[family][use](model) == expected
    assert modes(model) == before
    assert torch.equal(torch.random.get_rng_state(), stream)


def test_a_stream_leaves_the_model_in_training_after_each_piece_and_where_it_is_left() -> None:
    model = with_dropout("decoder")
    expected = list(model.stream("A cat", max_new_tokens=12))
    model.model.train()
    before, pieces = modes(model), []
    for piece in model.stream("A cat", max_new_tokens=12):
        assert modes(model) == before
        pieces.append(piece)
    assert pieces == expected
    next(model.stream("A cat", max_new_tokens=12))
    assert modes(model) == before
    halfway = model.stream("A cat", max_new_tokens=12)
    model.model.eval()
    first = next(halfway)
    model.model.train()
    assert [first, *halfway] == expected


def test_modes_come_back_after_an_error() -> None:
    model = with_dropout("encoder").model.train()
    model.heads.eval()
    before = [module.training for module in model.modules()]
    with contextlib.suppress(ZeroDivisionError), EvaluationMode(model):
        assert not any(module.training for module in model.modules())
        raise ZeroDivisionError
    assert [module.training for module in model.modules()] == before


def test_the_last_to_leave_puts_the_modes_back() -> None:
    model = with_dropout("decoder")
    model.model.train()
    model.model.backbone.tokens.eval()
    before, first, second = modes(model), EvaluationMode(model.model), EvaluationMode(model.model)
    first.__enter__()
    with second:
        first.__exit__(None, None, None)
        assert not any(modes(model))
        with first, EvaluationMode(with_dropout("decoder").model):
            assert not any(modes(model))
        assert not any(modes(model))
    assert modes(model) == before


def test_threads_that_write_from_a_model_in_training_do_not_disturb_each_other() -> None:
    model = with_dropout("decoder")
    expected = model.generate("A cat", max_new_tokens=20)
    model.model.train()
    written: list[str] = []

    def write() -> None:
        written.extend(model.generate("A cat", max_new_tokens=20) for _ in range(10))

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert written == [expected] * 30
    assert all(modes(model))
