"""`zoo import`: from somebody else's folder or file to one of ours."""

from pathlib import Path

import torch
import transformers

import zoo
from tests.cli.tiny import Command
from zoo.cli.import_model import UNSAFE_FORMATS
from zoo.interop.unsafe import UNSAFE


def test_folders_and_pickles_come_in(command: Command, tmp_path: Path) -> None:
    config = transformers.GPT2Config(n_layer=1, n_head=2, n_embd=16, n_positions=32, vocab_size=40)
    model = transformers.GPT2LMHeadModel(config)
    model.save_pretrained(tmp_path / "theirs")
    told = command("import", tmp_path / "theirs", tmp_path / "ours")
    assert told.status == 0, told.err
    assert "Pretrained(decoder" in told.out
    assert zoo.load(tmp_path / "ours").architecture == "gpt2"
    (tmp_path / "theirs" / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "theirs" / "pytorch_model.bin")
    told = command("import", tmp_path / "theirs", tmp_path / "other")
    assert told.status != 0
    assert "--unsafe-format pytorch" in told.err
    told = command("import", tmp_path / "theirs", tmp_path / "other", "--unsafe-format", "pytorch")
    assert told.status == 0, told.err


def test_what_the_maker_suggests_for_generation_is_told(command: Command, tmp_path: Path) -> None:
    config = transformers.GPT2Config(n_layer=1, n_head=2, n_embd=16, n_positions=32, vocab_size=40, eos_token_id=0)
    model = transformers.GPT2LMHeadModel(config)
    model.generation_config.update(do_sample=True, temperature=0.6, top_p=1.0, top_h=0.3)
    model.save_pretrained(tmp_path / "theirs")
    told = command("import", tmp_path / "theirs", tmp_path / "ours").err
    assert "kept, not applied: for generation its maker suggests do_sample=true, temperature=0.6; ask for it" in told
    assert "options of generate (temperature)" in told
    assert "ask for top_h=0.3, which nothing here does" in told
    described = command("describe", tmp_path / "ours").out
    assert "do_sample=true" in described
    assert "top_h=0.3" in described
    (tmp_path / "theirs" / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "theirs" / "pytorch_model.bin")
    arguments = ("import", tmp_path / "theirs", tmp_path / "other", "--unsafe-format", "pytorch")
    assert command(*arguments).err.splitlines()[1:] == told.replace("ours", "other").splitlines()[1:]


def test_every_unsafe_format_is_named_in_the_help(command: Command) -> None:
    told = command("import", "--help").out
    assert "|".join(sorted(UNSAFE)) in told
    assert (*sorted(UNSAFE),) == UNSAFE_FORMATS
    assert "hub:" in told


def test_the_network_is_not_asked(command: Command, tmp_path: Path) -> None:
    told = command("import", "hub:owner/absent", tmp_path / "ours")
    assert told.status != 0
    assert "cannot fetch hub:owner/absent" in told.err


def test_what_is_missing_is_not_said_to_be_read(command: Command, tmp_path: Path) -> None:
    told = command("import", tmp_path / "gone", tmp_path / "ours")
    assert told.status == 1
    assert len(told.err.splitlines()) == 1
    assert told.err.startswith("error: ")
