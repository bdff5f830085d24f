"""Text that is too short for a row: the message names the side, its source and the keys to turn."""

from pathlib import Path

import pytest

from tests.training.tiny import tiny_run
from zoo.errors import DataError
from zoo.training.run import prepare

LONG = " ".join(f"word{number}" for number in range(600))
SHORT = "a few words of text, no more than these are"


def message(config) -> str:
    with pytest.raises(DataError) as caught:
        prepare(config, progress=False)
    return str(caught.value)


def test_held_out_text_names_the_share_and_the_length(tmp_path: Path) -> None:
    config = tiny_run(tmp_path, "gpt", "data.validation_fraction=0.001", "model.max_length=64")
    (tmp_path / "text.txt").write_text(LONG)
    said = message(config)
    assert "the held-out text has" in said
    for key in ("one row needs 64", "(data.source)", "hold more out (data.validation_fraction=0.001)",
                "model.max_length=64"):  # fmt: skip
        assert key in said


def test_training_text_is_not_told_to_hold_out_less_where_nothing_is(tmp_path: Path) -> None:
    config = tiny_run(tmp_path, "gpt", "data.validation_fraction=0", "model.max_length=9000", "tokenizer={kind: bytes}")
    (tmp_path / "text.txt").write_text(SHORT)
    said = message(config)
    assert "the text has" not in said
    assert "the training text has" in said
    assert "validation_fraction" not in said
    assert "model.max_length=9000" in said


def test_source_of_a_mixture_is_named_with_its_key(tmp_path: Path) -> None:
    sources = []
    for name, text in (("long", LONG), ("short", SHORT * 2)):
        (tmp_path / f"{name}.txt").write_text(text)
        sources.append(f"{name}: {{kind: text, path: {tmp_path / name}.txt, share: 1}}")
    source = f"data.source={{kind: mixture, sources: {{{', '.join(sources)}}}}}"
    settings = ("data.validation_fraction=0.5", "model.max_length=64", "tokenizer={kind: bytes}", source)
    said = message(tiny_run(tmp_path, "gpt", *settings))
    assert said.startswith("source short: the held-out text has")
    assert "(data.source.sources.short)" in said
