"""Where a verb's model lies, where it runs, and in which numbers."""

from typing import Any

import pytest
import torch

from tests.cli.tiny import Command, Workshop
from zoo.loading import load
from zoo.pretrained import Pretrained

VERBS: dict[str, tuple[str, ...]] = {
    "generate": ("runs/tiny-decoder", "The ", "--max-new-tokens", "4"),
    "fill": ("runs/tiny-encoder", "a [MASK] of"),
    "score": ("runs/tiny-decoder", "a list"),
    "chat": ("runs/tiny-decoder",),
}
"""Each verb that opens a model to ask it something."""


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What `zoo.load` is asked for; it opens on the CPU, whatever it is asked for: a stand-in for a machine's GPU."""
    asked: list[dict[str, Any]] = []

    def stand_in(folder: str, *, device: str, **more: Any) -> Pretrained:
        asked.append({"device": device, **more})
        return load(folder, device="cpu", **more)

    monkeypatch.setattr("zoo.loading.load", stand_in)
    return asked


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("is_there", "said", "device"), [(True, None, "cuda"), (False, None, "cpu"), (True, "cpu", "cpu")]
)
def test_a_gpu_is_taken_where_there_is_one_and_nobody_says(
    workshop: Workshop,
    command: Command,
    opened: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
    is_there: bool,
    said: str | None,
    device: str,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: is_there)
    command(verb, *VERBS[verb], *(() if said is None else ("--device", said)), "--dtype", "bfloat16")
    assert [(one["device"], one["dtype"]) for one in opened] == [(device, "bfloat16")]


@pytest.mark.parametrize("verb", VERBS)
def test_what_is_not_there_is_told_with_what_is(workshop: Workshop, command: Command, verb: str) -> None:
    for option, value, told in (
        ("--device", "cuda:99", "'cuda:99' is not there: torch sees"),
        ("--device", "tpu", "'tpu' is no device (legal: cpu, cuda, cuda:1, …"),
        ("--dtype", "float8", "unknown dtype 'float8'"),
    ):
        status, out, err = command(verb, *VERBS[verb], option, value)
        assert (status, out) == (2, "")
        assert told in err


def test_numbers_are_those_that_were_asked_for(workshop: Workshop, command: Command) -> None:
    half = load("runs/tiny-decoder", dtype="bfloat16").score("a list of words").total
    out = command("score", "runs/tiny-decoder", "a list of words", "--dtype", "bfloat16").out
    assert f"{half:,.4f}" in out
    assert f"{half:,.4f}" not in command("score", "runs/tiny-decoder", "a list of words").out


@pytest.mark.parametrize("verb", VERBS)
def test_a_folder_that_is_missing_is_told_before_anything_else_is_looked_at(command: Command, verb: str) -> None:
    status, out, err = command(verb, "absent", *(() if verb == "chat" else ("--file", "absent.txt")))
    assert (status, out) == (1, "")
    assert "absent is missing; name a run folder" in err
