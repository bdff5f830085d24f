"""The compatibility page is what the code says today."""

import re

import pytest

from tests.compatibility import PAGE, Notes, page
from zoo.nn.attend import KERNELS
from zoo.nn.norm import NormConfig
from zoo.nn.positions import PositionsConfig


@pytest.mark.slow
def test_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.compatibility"


def test_every_choice_is_on_it() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for kind in (*PositionsConfig.choices, *NormConfig.choices, *KERNELS):
        assert re.search(rf"\b{kind}\b", text), kind


def test_every_note_is_there() -> None:
    text = PAGE.read_text(encoding="utf-8")
    used = {int(number) for number in re.findall(r"\[(\d+)\]\(#notes\)", text)}
    listed = {int(number) for number in re.findall(r"^(\d+)\. ", text, flags=re.MULTILINE)}
    assert used == listed == set(range(1, len(used) + 1))


def test_a_reason_has_one_number() -> None:
    notes = Notes()
    assert notes.mark("a (legal: b, c)") == notes.mark("a") != notes.mark("other")
    assert list(notes.lines()) == ["1. a", "2. other"]
