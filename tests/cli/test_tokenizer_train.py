"""`zoo tokenizer train`: a tokenizer in a folder, and what it did not learn from."""

from pathlib import Path

import pytest

from tests.cli.tiny import Command, Workshop
from zoo.cli.tokenizer_train import HeldOut
from zoo.tokenizer.foreign import open_tokenizer

TEXTS = [f"document number {number} of the corpus" for number in range(2_000)]


def test_held_out_documents_are_a_share_and_the_same_each_time() -> None:
    aside, again = HeldOut(0.1), HeldOut(0.1)
    others = list(aside.others(TEXTS))
    assert sorted([*others, *aside.texts]) == sorted(TEXTS)
    assert 140 < len(aside.texts) < 260
    list(again.others(reversed(TEXTS)))
    assert sorted(again.texts) == sorted(aside.texts)
    nothing = HeldOut(0.0)
    assert list(nothing.others(TEXTS)) == TEXTS
    assert not nothing.texts


def test_trains_measures_and_can_be_used(workshop: Workshop, command: Command, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    wanted = ("tokenizer.kind=byte_level_bpe", "tokenizer.vocab_size=300")
    status, out, err = command("tokenizer", "train", "tiny-decoder.yaml", str(folder), *wanted, "--held-out", "0.2")
    assert status == 0, err
    assert "held-out documents" in out
    assert "tokens per word (fertility)" in out
    assert f"tokenizer.path={folder}" in err
    assert 257 < open_tokenizer(folder).vocab_size <= 300
    used = ("data", "stats", "tiny-decoder.yaml", "tokenizer={kind: file, path: %s}" % folder)  # noqa: UP031
    assert command(*used).status == 0
    status, _, err = command("tokenizer", "train", "tiny-decoder.yaml", str(folder), *wanted)
    assert status
    assert "--fresh" in err
    assert command("tokenizer", "train", "tiny-decoder.yaml", str(folder), *wanted, "--fresh").status == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("tokenizer.kind=bytes",), "learns nothing"),
        (("--held-out", "1.5"), "--held-out"),
        (("tokenizer.kind=byte_level_bpe", "tokenizer.vocab_size=10"), "tokenizer.vocab_size"),
    ],
)
def test_mistakes(workshop: Workshop, command: Command, tmp_path: Path, arguments: tuple[str, ...], told: str) -> None:
    status, _, err = command("tokenizer", "train", "tiny-decoder.yaml", str(tmp_path / "mine"), *arguments)
    assert status
    assert told in err
