"""Compiled training steps: the results of eager ones, repeatable and continued exactly; refused where it cannot be."""

import functools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.tiny import DROPOUT, distance, same, tiny_run, weights
from zoo.errors import ConfigError
from zoo.training import compilation
from zoo.training.run import prepare, pretrain

HAS_COMPILER = any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "clang++"))
COMPILE = "trainer.compile=true"


@pytest.fixture(autouse=True)
def _fresh_compiler() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs are traced and differentiated ahead of time, and not compiled to machine code, which takes minutes."""
    monkeypatch.setattr(compilation, "check_compiler", lambda device: None)
    monkeypatch.setattr("zoo.training.run.check_compiler", lambda device: None)
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bert", "gpt", "t5", "experts"])
def test_traced_equals_eager(kind: str, traced: None, gradients_of: Any, tmp_path: Path) -> None:
    """The gradient of each step, and what experts are balanced by."""
    settings = ("trainer.max_steps=2", "trainer.precision=64-true", "trainer.accumulate=2")
    eager = gradients_of(tiny_run(tmp_path, kind, *settings))
    found = gradients_of(tiny_run(tmp_path, kind, *settings, COMPILE))
    assert distance(found[0], eager[0]) < 1e-10
    assert distance(found[1], eager[1]) < 1e-8


@pytest.mark.slow
@pytest.mark.skipif(not HAS_COMPILER, reason="needs a C++ compiler")
def test_compiled_equals_eager_and_continues_exactly(gradients_of: Any, break_at: Any, tmp_path: Path) -> None:
    settings = ("trainer.max_steps=3", "trainer.save_every=1")
    eager = gradients_of(tiny_run(tmp_path, "gpt", *settings))
    found = gradients_of(tiny_run(tmp_path, "gpt", *settings, COMPILE))
    assert distance(found[0], eager[0]) < 1e-5
    config = tiny_run(tmp_path, "gpt", *settings, COMPILE, *DROPOUT)
    pretrain(config, tmp_path / "unbroken")
    break_at(config, tmp_path / "broken", 2)
    torch.compiler.reset()
    pretrain(config, tmp_path / "broken")
    assert same(weights(tmp_path / "broken"), weights(tmp_path / "unbroken"))


def test_only_training_steps_are_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And compiling leaves no second name of a weight in the module."""
    calls: list[Any] = []

    def fake(function: Any, **options: Any) -> Any:
        assert options == {"dynamic": False}

        def forward(**inputs: Any) -> Any:
            calls.append(torch.is_grad_enabled())
            return function(**inputs)

        return forward

    monkeypatch.setattr("zoo.training.run.check_compiler", lambda device: None)
    monkeypatch.setattr(torch, "compile", fake)
    pretrain(tiny_run(tmp_path, "gpt", COMPILE, "trainer.validate_every=1"), tmp_path / "run")
    assert calls == [True] * 4
    monkeypatch.undo()
    pretrain(tiny_run(tmp_path, "gpt", "trainer.validate_every=1"), tmp_path / "eager")
    assert same(weights(tmp_path / "run"), weights(tmp_path / "eager"))


def test_what_it_does_not_go_with(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"trainer\.compile: true does not go with trainer\.recompute=blocks"):
        tiny_run(tmp_path, "gpt", COMPILE, "trainer.recompute=blocks")


@pytest.mark.parametrize("key", ["batch_warmup", "length_warmup"])
def test_batches_of_several_shapes(key: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"trainer\.compile: true does not go with trainer\.{key}: each shape"):
        tiny_run(tmp_path, "gpt", COMPILE, f"trainer.{key}={{start: 4, increment: 4, steps: 2}}")


def test_no_compiler_is_said_before_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ConfigError, match=r"trainer\.compile: .*no 'no-such-compiler'; install one"):
        pretrain(tiny_run(tmp_path, "gpt", COMPILE), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert prepare(tiny_run(tmp_path, "gpt"), progress=False).module.run_backbone is not None
