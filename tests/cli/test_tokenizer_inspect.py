"""`zoo tokenizer inspect`: what is shown of a tokenizer, of a text, and of a file."""

from pathlib import Path

import pytest

from tests.cli.tiny import Command
from zoo.tokenizer.train import ByteLevelBPEConfig, UnigramConfig, WordPieceConfig

TEXTS = ["The quick brown fox jumps over the lazy dog. ", "Pack my box with five dozen liquor jugs!\n"] * 9


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    UnigramConfig(vocab_size=250, normalization="NFKC").train(TEXTS).save(tmp_path / "run" / "tokenizer")
    return tmp_path / "run"


def test_what_it_is(folder: Path, command: Command) -> None:
    for path in (folder, folder / "tokenizer", folder / "tokenizer" / "tokenizer.json"):
        status, out, err = command("tokenizer", "inspect", str(path))
        assert status == 0, err
        for part in ("Unigram", "<extra_id_0>", "unknown", "NFKC", "100 sentinels"):
            assert part in out


def test_tokens_of_a_text(tmp_path: Path, command: Command) -> None:
    WordPieceConfig(vocab_size=120).train(TEXTS).save(tmp_path)
    status, out, _ = command("tokenizer", "inspect", str(tmp_path), "quick [MASK]", "[bold]dog[/bold]")
    assert status == 0
    first, second = out.split("\n\n")[1:]
    assert "[MASK] 4 │" in first
    assert "tokens for 12 characters" in first
    assert "bold" in second  # what looks like markup is text


def test_measured_on_a_file(tmp_path: Path, command: Command) -> None:
    ByteLevelBPEConfig(vocab_size=300).train(TEXTS).save(tmp_path / "mine")
    (tmp_path / "text.txt").write_text("the lazy dog\n\nthe café\n", encoding="utf-8")
    status, out, err = command("tokenizer", "inspect", str(tmp_path / "mine"), "--file", str(tmp_path / "text.txt"))
    assert status == 0, err
    cells = {line.rpartition("  ")[0].strip(): line.split()[-1] for line in out.splitlines() if line}
    assert cells["words"] == "5"
    assert cells["texts that come back exactly"] == "100.0%"


@pytest.mark.parametrize("name", ["gone", "empty"])
def test_no_tokenizer_there(tmp_path: Path, command: Command, name: str) -> None:
    (tmp_path / "empty").mkdir()
    status, _, err = command("tokenizer", "inspect", str(tmp_path / name))
    assert status
    assert "no tokenizer" in err
