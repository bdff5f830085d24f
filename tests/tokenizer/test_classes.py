"""transformers' tokenizer classes: which one opens a folder, and what it takes for granted."""

import inspect
import json
from pathlib import Path

import pytest
import transformers
from transformers.models.auto import tokenization_auto

from tests.tokenizer.families import FAMILIES, PROBES, theirs
from zoo.tokenizer.classes import CLASSES, GENERIC, OVERRULED, REGISTERED, TOKENS, class_of, stem_of
from zoo.tokenizer.foreign import open_tokenizer
from zoo.tokenizer.special_files import NAMES


def test_architectures_have_their_class() -> None:
    for name, kind in REGISTERED.items():
        assert stem_of(tokenization_auto.TOKENIZER_MAPPING_NAMES[name]) == kind
        assert (name in OVERRULED) == (name in tokenization_auto.MODELS_WITH_INCORRECT_HUB_TOKENIZER_CLASS)


@pytest.mark.parametrize(
    ("named", "architecture", "kind"),
    [
        ("BertTokenizerFast", "bert", "bert"),
        ("RobertaTokenizer", "bert", "roberta"),
        (None, "distilbert", "bert"),
        ("DistilBertTokenizer", "distilbert", "bert"),
        ("LlamaTokenizer", "mistral", GENERIC),
        ("LlamaTokenizerFast", "llama", "llama"),
        ("PreTrainedTokenizerFast", "gpt2", GENERIC),
        ("PreTrainedTokenizerFast", "qwen2", "qwen2"),
        ("UnheardTokenizer", "t5", GENERIC),
        (None, "llama", GENERIC),
    ],
)
def test_the_class_of_a_folder(named: str | None, architecture: str, kind: str) -> None:
    assert class_of({"tokenizer_class": named}, {"model_type": architecture}) == kind
    assert class_of({}, {"tokenizer_class": named, "model_type": architecture}) == kind


@pytest.mark.parametrize("kind", TOKENS)
def test_tokens_that_a_class_takes_for_granted_are_theirs(kind: str) -> None:
    name = next(name for name in dir(transformers) if stem_of(name) == kind and name.endswith("Tokenizer"))
    assert CLASSES[kind] == kind
    if kind == "marian":  # their class opens files only
        return
    settings = inspect.signature(getattr(transformers, name).__init__).parameters
    said = {role: settings[name].default for name, role in NAMES.items() if name in settings}
    said = {role: token for role, token in said.items() if token is not None}
    ours = dict(TOKENS[kind])
    assert ours.items() <= said.items()
    # what is missing here: GPT-2's family lets the end of a text stand for the unknown, which no byte is; Gemma's mask
    assert {role for role in said if role not in ours} <= {"unknown", "mask"}


@pytest.mark.parametrize("family", FAMILIES)
def test_naming_one_token_leaves_the_others_as_they_were(family: str, tmp_path: Path) -> None:
    FAMILIES[family](tmp_path)
    files = [tmp_path / name for name in ("tokenizer_config.json", "special_tokens_map.json")]
    before = [json.loads(file.read_text()) if file.is_file() else {} for file in files]
    plain = open_tokenizer(tmp_path)
    for number, (name, role) in enumerate([pair for pair in NAMES.items() if pair[1] in plain.roles]):
        for file, content in zip(files, before, strict=True):
            named = {name: plain.token(plain.roles[role])} if file == files[number % 2] else {}
            file.write_text(json.dumps(content | named))
        ours, reference = open_tokenizer(tmp_path), theirs(tmp_path)
        assert ours.roles == plain.roles, name
        for text in [*PROBES, "The fox [MASK] dog", "<mask> the"]:
            assert ours.framed(text).tolist() == reference(text)["input_ids"], (name, text)
