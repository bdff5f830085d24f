"""Folders whose weights are stored in several types: what opens computes, and nobody meets an error of torch's."""

import warnings
from pathlib import Path

import pytest
import torch
import transformers

import zoo
from tests.generation.tiny import pretrained
from tests.test_loading import changed
from zoo.importing import import_model


def half_t5(folder: Path) -> transformers.T5ForConditionalGeneration:
    """T5 in float16, whose `wo` transformers keeps in float32, also in the files that it writes."""
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_heads": 2, "num_layers": 1, "vocab_size": 40}
    config = transformers.T5Config(**sizes, decoder_start_token_id=0)
    transformers.T5ForConditionalGeneration(config).save_pretrained(folder / "whole")
    half = transformers.T5ForConditionalGeneration.from_pretrained(folder / "whole", dtype=torch.float16)
    half.save_pretrained(folder / "half")
    return half


def test_a_t5_in_half_precision_is_what_transformers_computes(tmp_path: Path) -> None:
    theirs, tokens = half_t5(tmp_path).float(), torch.arange(5)[None]
    with pytest.warns(UserWarning, match=r"several types \(.*float32 is for example .*all are turned into float32"):
        model = zoo.load(tmp_path / "half")
    with torch.no_grad():
        found = model(tokens=tokens, decoder_tokens=tokens)["language_model"]
        expected = theirs(input_ids=tokens, decoder_input_ids=tokens).logits
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)  # nothing was rounded
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rounded = zoo.load(tmp_path / "half", dtype="bfloat16")
    assert rounded(tokens=tokens, decoder_tokens=tokens)["language_model"].dtype is torch.bfloat16


@pytest.mark.parametrize("said, expected", [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_a_head_of_another_type_than_its_model(said: str, expected: torch.dtype, tmp_path: Path) -> None:
    """The type of all is that of config.json, as in transformers; an import writes it."""
    config = transformers.BertConfig(
        vocab_size=40, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24, num_labels=3
    )
    model = transformers.BertForSequenceClassification(config).bfloat16()
    model.classifier.float()
    model.save_pretrained(tmp_path / "theirs")
    changed(tmp_path / "theirs", dtype=said)
    with pytest.warns(UserWarning, match=f"all are turned into {said}, as its config says"):
        loaded = zoo.load(tmp_path / "theirs")
    with pytest.warns(UserWarning, match=f"all are turned into {said}, as its config says"):
        imported = import_model(str(tmp_path / "theirs"), tmp_path / "ours")
    theirs = transformers.BertForSequenceClassification.from_pretrained(tmp_path / "theirs")
    assert theirs.dtype is expected
    for ours in (loaded, imported, zoo.load(tmp_path / "ours")):
        assert {parameter.dtype for parameter in ours.model.parameters()} == {expected}
        assert ours(tokens=torch.arange(5)[None])["sequence_classification"].dtype is expected


def test_a_folder_of_ours_with_several_types(tmp_path: Path) -> None:
    model = pretrained("decoder")
    model.model.bfloat16()
    model.model.backbone.stack.blocks[0].float()
    zoo.save(model, tmp_path / "model")
    with pytest.warns(UserWarning, match=r"model: its weights are stored in several types .*turned into float32, so"):
        loaded = zoo.load(tmp_path / "model")
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.float32}
    assert isinstance(loaded.generate("The", max_new_tokens=2), str)
