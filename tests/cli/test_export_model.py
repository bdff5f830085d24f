"""`zoo export`: from a run to a folder that transformers opens."""

from pathlib import Path

import pytest
import transformers

import zoo
from tests.cli.tiny import MODELS, Command, Workshop


@pytest.mark.parametrize("family", MODELS)
def test_a_run_is_exported(family: str, workshop: Workshop, command: Command, tmp_path: Path) -> None:
    told = command("export", f"runs/tiny-{family}", tmp_path / "out")
    assert told.status == 0, told.err
    name = told.out.split("import ")[1].split(";")[0]
    getattr(transformers, name).from_pretrained(tmp_path / "out")
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    again = zoo.load(tmp_path / "out")
    assert theirs("Return a list")["input_ids"] == again.tokenizer.framed("Return a list").tolist()
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| steps | 4 |" in card
    assert f"| run | tiny-{family} |" in card


def test_what_cannot_be_exported_is_told(workshop: Workshop, command: Command, tmp_path: Path) -> None:
    run = "runs/tiny-decoder"
    assert "kept no best checkpoint" in command("export", run, tmp_path / "out", "--which", "best").err
    assert "'ema' weights" in command("export", run, tmp_path / "out", "--weights", "ema").err
    assert "unknown format 'onnx'" in command("export", run, tmp_path / "out", "--format", "onnx").err
    assert "bert has no" in command("export", run, tmp_path / "out", "--architecture", "bert").err
    assert not (tmp_path / "out").exists()


def test_what_is_put_otherwise_is_told(workshop: Workshop, command: Command, tmp_path: Path) -> None:
    model = zoo.create_model("gpt2", vocab_size=50, vocab_multiple=64, dim=16, num_layers=1, num_heads=2, max_length=16)
    zoo.save(model, tmp_path / "model")
    told = command("export", str(tmp_path / "model"), str(tmp_path / "out"))
    assert told.status == 0
    assert "note: " in told.err
    assert "/out: the 14 spare rows of the token table (vocab_multiple) are left out" in told.err
    opened = transformers.GPT2LMHeadModel.from_pretrained(tmp_path / "out")
    assert opened.lm_head.weight.shape == (50, 16)
