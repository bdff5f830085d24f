"""A field of a foreign config means the same here: changed, it changes both models alike, in training too."""

from collections.abc import Iterator
from typing import Any

import pytest
from huggingface_hub.errors import StrictDataclassError

from tests.interop import foreign_fields
from tests.interop.cases import FIRST, VARIANTS
from tests.interop.foreign_fields import Change, changes, distance, fields_of, moves, tolerance, why_unmoved
from tests.interop.mutations import MOVES
from zoo.errors import ConfigError

SAME_ROPE = ("deepseek_v3", "gemma2", "mistral", "olmo2", "qwen2", "qwen3")
"""They read `rope_parameters` as Llama does."""


def read_elsewhere(architecture: str, field: str) -> bool:
    """Whether another architecture reads a field by the same code."""
    return architecture in SAME_ROPE and field.startswith("rope_parameters.")


FIELDS = [(architecture, field) for architecture in FIRST for field in fields_of(architecture)]
EVERY_VALUE = [pair for pair in FIELDS if not read_elsewhere(*pair)]
READ = [
    pytest.param(*pair, marks=pytest.mark.slow if pair[0] in VARIANTS or read_elsewhere(*pair) else ())
    for pair in FIELDS
]


def distances(architecture: str, field: str) -> Iterator[tuple[Change, float]]:
    """Each change that neither side refuses, and how far the two models are apart then."""
    for change in changes(architecture, field):
        try:
            yield change, distance(architecture, change)
        except (ConfigError, ValueError, StrictDataclassError):
            continue


@pytest.mark.parametrize("architecture, field", READ)
def test_a_field_that_is_read_means_the_same_here(architecture: str, field: str) -> None:
    """By the first value that both take: there must be one."""
    change, found = next(distances(architecture, field))
    assert found < tolerance(change), change


@pytest.mark.slow
@pytest.mark.parametrize("architecture, field", EVERY_VALUE)
def test_every_value_of_a_field_means_the_same_here(architecture: str, field: str) -> None:
    """Of all that are tried; and one at least moves theirs, or it says here why none does."""
    taken = [*distances(architecture, field)]
    assert taken
    assert [(change, found) for change, found in taken if not found < tolerance(change)] == []
    moved = any(moves(architecture, change) > MOVES for change, _ in taken)
    assert moved == (why_unmoved(architecture, field) is None)


def test_what_is_reviewed_is_there() -> None:
    known = {
        name
        for architecture in FIRST
        for field in fields_of(architecture)
        for name in (field, f"{architecture}.{field}")
    }
    assert {*foreign_fields.UNMOVED, *foreign_fields.SAID, *foreign_fields.HEAD_OF} <= known


def test_a_table_that_reads_another_field_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison can fail: a model whose config is read with another window, and one with another dropout."""
    for architecture, field, value in (("mistral", "sliding_window", 3), ("gpt2", "embd_pdrop", 0.4)):
        change = Change(field, {field: value})
        assert distance(architecture, change) < tolerance(change)
        read = foreign_fields.read_config

        def otherwise(name: str, config: dict[str, Any], field: str = field, read: Any = read) -> Any:
            return read(name, {**config, field: 2 * config[field]})

        with monkeypatch.context() as patch:
            patch.setattr(foreign_fields, "read_config", otherwise)
            assert distance(architecture, change) > MOVES
