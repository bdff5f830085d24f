"""Compiled = eager: outputs and gradients of each family, of plain, padded and packed rows; and nothing breaks a graph.

Graphs are traced and differentiated ahead of time (`aot_eager`), and for one family compiled to C++ too (`inductor`).
"""

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from zoo.models import Model
from zoo.models.create import create_model

pytestmark = pytest.mark.slow
LENGTH, VOCABULARY = 12, 50
FAMILIES = ("bert-nano", "gpt-nano", "t5-nano", "llama-nano")
DOCUMENTS = torch.tensor([[0] * 5 + [1] * 4 + [-1] * 3, [0] * 12])
HAS_COMPILER = any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "clang++"))


@pytest.fixture(autouse=True)
def _fresh_compiler() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def model_of(name: str, **changes: Any) -> Model:
    sizes = {"dim": 32, "num_layers": 2, "num_heads": 2, "max_length": LENGTH, "vocab_size": VOCABULARY}
    off = dict.fromkeys(("embedding", "attention", "residual", "feed_forward"), 0.0)
    changes = {**sizes, "num_kv_heads": None, "feed_forward_dim": 48, "dropout": off, **changes}
    return create_model(name, **changes).double()


def inputs_of(model: Model, laid: bool) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    sides = ["", "decoder_"] if model.config.kind == "encoder_decoder" else [""]
    inputs = {}
    for side in sides:
        inputs[f"{side}tokens"] = torch.randint(VOCABULARY, (2, LENGTH), generator=generator)
        if laid:
            inputs[f"{side}documents"] = DOCUMENTS
            inputs[f"{side}positions"] = torch.cat([torch.arange(5), torch.arange(7)]).expand(2, -1)
    return inputs


def outcome(model: Model, forward: Any, inputs: dict[str, Tensor]) -> list[Tensor]:
    """Hidden states and the gradient of every weight."""
    hidden = forward(**inputs)
    weights = list(model.backbone.parameters())
    return [hidden, *torch.autograd.grad(hidden.square().sum(), weights, allow_unused=True, materialize_grads=True)]


def assert_same(model: Model, backend: str, inputs: dict[str, Tensor]) -> None:
    expected = outcome(model, model.backbone, inputs)
    compiled = outcome(model, torch.compile(model.backbone, backend=backend, fullgraph=True), inputs)
    for found, wanted in zip(compiled, expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("laid", [False, True], ids=["plain", "packed and padded"])
@pytest.mark.parametrize("name", FAMILIES)
def test_traced_equals_eager(name: str, laid: bool) -> None:
    """In one graph, or torch refuses (`fullgraph`)."""
    model = model_of(name)
    assert_same(model, "aot_eager", inputs_of(model, laid))


@pytest.mark.skipif(not HAS_COMPILER, reason="needs a C++ compiler")
def test_compiled_equals_eager() -> None:
    model = model_of("gpt-nano")
    assert_same(model, "inductor", inputs_of(model, laid=True))


@pytest.mark.parametrize("changes", [{}, {"positions": "alibi"}, {"attention": {"cap": 5.0, "window": 4}}], ids=str)
def test_a_gpt_is_one_graph(changes: dict[str, Any]) -> None:
    model = model_of("gpt-nano", **changes)
    found = torch._dynamo.explain(model.backbone)(**inputs_of(model, laid=False))
    assert (found.graph_count, found.graph_break_count) == (1, 0), found.break_reasons


def test_a_break_would_be_counted() -> None:
    """The check above can fail."""
    model = model_of("gpt-nano")
    model.backbone.stack.blocks[1].register_forward_pre_hook(lambda module, inputs: print(end=""))
    found = torch._dynamo.explain(model.backbone)(**inputs_of(model, laid=False))
    assert found.graph_break_count > 0
