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


@pytest.mark.parametrize("fresh", [(), ("--fresh",)])
def test_what_is_no_tokenizer_is_not_written_into(
    fresh: tuple[str, ...], workshop: Workshop, command: Command, tmp_path: Path
) -> None:
    (tmp_path / "home").mkdir()
    for path in (tmp_path / "home" / "letters.txt", tmp_path / "file"):
        path.write_text("dear", encoding="utf-8")
    for name in ("home", "file"):
        outcome = command("tokenizer", "train", "tiny-decoder.yaml", str(tmp_path / name), *fresh)
        assert outcome.status == 1
        assert "is no tokenizer folder; name another folder" in outcome.err
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["letters.txt"]


def test_place_that_cannot_be_written_is_said_before_the_work(
    workshop: Workshop, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    monkeypatch.setattr(HeldOut, "others", None)  # reading the text would fail now
    kind = ("tokenizer.kind=byte_level_bpe", "tokenizer.vocab_size=300")
    outcome = command("tokenizer", "train", "tiny-decoder.yaml", str(tmp_path / "file" / "mine"), *kind)
    assert outcome.status == 1
    assert "Not a directory" in outcome.err
