"""Models of others into folders of ours: checked, whole, with their tokenizer."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import transformers

import zoo
from tests.tokenizer.families import FAMILIES
from zoo.checkpoint.model import read_card
from zoo.errors import CheckpointError, ConfigError
from zoo.importing import import_model


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A GPT-2 as transformers saves it."""
    folder = tmp_path / "theirs"
    config = transformers.GPT2Config(n_layer=1, n_head=2, n_embd=16, n_positions=32, vocab_size=400)
    transformers.GPT2LMHeadModel(config).save_pretrained(folder)
    FAMILIES["gpt2"](tmp_path)
    for name in ("vocab.json", "merges.txt"):
        shutil.move(tmp_path / name, folder / name)
    return folder


def test_a_folder_becomes_ours(theirs: Path, tmp_path: Path) -> None:
    opened = zoo.load(theirs)
    import_model(str(theirs), tmp_path / "ours")
    shutil.rmtree(theirs)  # nothing of it is needed any more
    again = zoo.load(tmp_path / "ours")
    assert again.config == opened.config
    assert again.tokenizer.fingerprint == opened.tokenizer.fingerprint
    assert again.conventions == opened.conventions
    assert again.architecture == "gpt2"
    assert read_card(tmp_path / "ours") == {"architecture": "gpt2"}
    assert "| architecture | gpt2 |" in (tmp_path / "ours" / "README.md").read_text()


def test_a_tokenizer_can_be_given_where_there_is_none(theirs: Path, tmp_path: Path) -> None:
    (tmp_path / "words").mkdir()
    for name in ("vocab.json", "merges.txt"):
        shutil.move(theirs / name, tmp_path / "words" / name)
    model = import_model(str(theirs), tmp_path / "ours", tokenizer=tmp_path / "words")
    assert model.architecture == "gpt2"
    assert zoo.load(tmp_path / "ours").tokenizer.fingerprint == model.tokenizer.fingerprint
    with pytest.raises(ConfigError, match=r"tokenizer: .* has one already"):
        import_model(str(tmp_path / "ours"), tmp_path / "twice", tokenizer=tmp_path / "words")


@pytest.mark.parametrize("as_file, own", [(False, None), (True, None), (False, "{{ messages[0].role }}")])
def test_a_chat_template_comes_with_the_tokenizer(as_file: bool, own: str | None, theirs: Path, tmp_path: Path) -> None:
    """It is what the tokenizer's source says; what the model's own folder says goes before it."""
    words = tmp_path / "words"
    words.mkdir()
    for name in ("vocab.json", "merges.txt"):
        shutil.move(theirs / name, words / name)
    said = {"chat_template": "{{ bos_token }}{{ messages[0].content }}", "bos_token": "<|endoftext|>"}
    (words / "tokenizer_config.json").write_text(json.dumps(said))
    (words / "generation_config.json").write_text('{"eos_token_id": [3, 5]}')
    (theirs / "generation_config.json").unlink()
    config = json.loads((theirs / "config.json").read_text())
    del config["eos_token_id"]
    (theirs / "config.json").write_text(json.dumps(config))
    if own:
        (theirs / "chat_template.jinja").write_text(own)
    import_model(str(theirs), tmp_path / "ours", tokenizer=words / "vocab.json" if as_file else words)
    opened = zoo.load(tmp_path / "ours")
    expected = "user" if own else "<|endoftext|>the fox"
    assert opened.conversation([{"role": "user", "content": "the fox"}]) == expected
    assert opened.conventions.stop == (3, 5)


def test_pickles_are_read_only_where_that_is_asked_for(theirs: Path, tmp_path: Path) -> None:
    weights = transformers.GPT2LMHeadModel.from_pretrained(theirs).state_dict()
    torch.save(weights, theirs / "pytorch_model.bin")
    (theirs / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="--unsafe-format pytorch"):
        import_model(str(theirs), tmp_path / "ours")
    with pytest.raises(ConfigError, match="unsafe_format: unknown unsafe format 'pickle'"):
        import_model(str(theirs), tmp_path / "ours", unsafe_format="pickle")
    import_model(str(theirs), tmp_path / "ours", unsafe_format="pytorch")
    opened = zoo.load(tmp_path / "ours")
    assert torch.equal(opened.model.backbone.tokens.weight, weights["transformer.wte.weight"])
    assert opened.architecture == "gpt2"
    assert isinstance(opened.generate("the fox", max_new_tokens=2), str)


def test_a_pickle_is_used_as_its_safetensors_twin_is(tmp_path: Path) -> None:
    """What ends a text, what an output begins with and the chat template come along with weights of any format."""
    theirs, twin = tmp_path / "theirs", tmp_path / "twin"
    sizes = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
    config = transformers.BartConfig(
        **sizes,
        vocab_size=400,
        d_model=16,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        max_position_embeddings=32,
        decoder_start_token_id=2,
        forced_eos_token_id=None,
    )
    model = transformers.BartForConditionalGeneration(config)
    model.save_pretrained(theirs)
    FAMILIES["gpt2"](tmp_path)
    for name in ("vocab.json", "merges.txt"):
        shutil.move(tmp_path / name, theirs / name)
    (theirs / "chat_template.jinja").write_text("{{ messages[0].content }}")
    shutil.copytree(theirs, twin)
    (twin / "model.safetensors").unlink()
    torch.save(model.state_dict(), twin / "pytorch_model.bin")
    import_model(str(twin), tmp_path / "ours", unsafe_format="pytorch")
    expected, opened = zoo.load(theirs), zoo.load(tmp_path / "ours")
    assert opened.conventions == expected.conventions
    assert opened.conventions.start == 2
    assert opened.conventions.template is not None
    assert opened.generate("the fox", max_new_tokens=4) == expected.generate("the fox", max_new_tokens=4)


def test_what_is_damaged_leaves_nothing_behind(theirs: Path, tmp_path: Path) -> None:
    model = transformers.GPT2LMHeadModel.from_pretrained(theirs)
    with torch.no_grad():
        model.transformer.ln_f.bias[3] = float("nan")
    model.save_pretrained(tmp_path / "broken")
    with pytest.raises(CheckpointError, match=r"NaN or infinite numbers in backbone\.stack\.norm\.bias"):
        import_model(str(tmp_path / "broken"), tmp_path / "ours")
    with pytest.raises(CheckpointError, match="absent is missing"):
        import_model(str(tmp_path / "absent"), tmp_path / "ours", unsafe_format="nanogpt")
    assert not (tmp_path / "ours").exists()
    (tmp_path / "ours").mkdir()
    with pytest.raises(CheckpointError, match="exists already"):
        import_model(str(theirs), tmp_path / "ours")
