"""What is said of folders: architecture, class, the types of their weights, and weights that do not fit."""

import json
from pathlib import Path

import pytest

import zoo
from tests.cli.tiny import Command
from zoo.cli.folder_facts import facts_of_folder

SIZES = {"num_layers": 2, "dim": 16, "num_heads": 2, "vocab_size": 40, "max_length": 8}


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """A BERT as transformers has it, in bfloat16."""
    zoo.export(zoo.create_model("bert-nano", **SIZES).bfloat16(), tmp_path / "bert")
    return tmp_path / "bert"


def test_a_foreign_folder_is_named_as_what_it_is_there(exported: Path, command: Command) -> None:
    facts = facts_of_folder(exported)
    assert facts.architecture.startswith("bert (Bert")
    assert facts.stored.endswith("B in bfloat16")
    status, out, err = command("describe", exported)
    assert (status, err) == (0, "")
    assert out.startswith(f"{exported}: encoder, {facts.architecture}\n")
    assert f"as they are stored   {facts.stored}" in out
    assert "slow on GPUs" not in out  # nobody chooses its shapes any more


def test_a_folder_of_ours_keeps_what_it_was(exported: Path, tmp_path: Path) -> None:
    zoo.import_model(str(exported), tmp_path / "ours")
    facts, theirs = facts_of_folder(tmp_path / "ours"), facts_of_folder(exported)
    assert facts.config == theirs.config
    assert facts.architecture == "bert"
    assert facts.stored.endswith("B in bfloat16")


def test_with_settings_it_is_another_model(exported: Path, command: Command) -> None:
    out = command("describe", exported, "positions=rotary").out
    assert out.startswith(f"{exported} with positions=rotary, no longer the model in it: encoder\n")
    assert "as they are stored" not in out
    assert "slow on GPUs" in out
    assert command("describe", exported, "positions=learned").out == command("describe", exported).out


def test_weights_that_do_not_fit_are_told(exported: Path, command: Command) -> None:
    config = json.loads((exported / "config.json").read_text(encoding="utf-8"))
    (exported / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}), encoding="utf-8")
    status, out, err = command("describe", exported)
    assert status == 0
    assert "layers 0–2" in out
    assert "note: this is what config.json says, and it does not open" in err
    assert "missing" in err


def test_a_config_alone_has_no_weights_to_speak_of(exported: Path) -> None:
    (exported / "model.safetensors").unlink()
    assert facts_of_folder(exported).stored == ""
