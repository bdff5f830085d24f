"""transformers' tokenizer classes: which one opens a folder, and what each takes for granted, as they have it."""

import inspect
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import transformers
from tokenizers import models, pre_tokenizers, trainers
from transformers.models.auto import tokenization_auto

from tests.tokenizer.families import FAMILIES, PROBES, TEXT, theirs
from zoo.tokenizer.classes import (
    GENERIC,
    LLAMA,
    TOKENIZER_CLASSES,
    TokenizerClass,
    class_of,
    older_class,
    older_name_of,
    shown_tokens,
    stem_of,
)
from zoo.tokenizer.export import carried_settings
from zoo.tokenizer.foreign import open_tokenizer
from zoo.tokenizer.special_files import NAMES
from zoo.tokenizer.special_tokens import family_tokens

CLASSES = [name for name in TOKENIZER_CLASSES if TOKENIZER_CLASSES[name] is not GENERIC]
OWN_PIPELINE = [name for name in CLASSES if TOKENIZER_CLASSES[name].pipeline]


def their_name(kind: str) -> str:
    """LlamaTokenizer for llama."""
    return next(name for name in dir(transformers) if stem_of(name) == kind and name.endswith("Tokenizer"))


# ------------------------------------------------------------------------------- the contract of all registered classes


def test_no_two_classes_have_the_same_name_or_architecture() -> None:
    classes = [one for _, one in TOKENIZER_CLASSES.items()]
    for names in ([one.names for one in classes], [one.model_types for one in classes]):
        assert {*Counter(name for each in names for name in each).values()} == {1}
    older = [stem for one in classes for stem in {*one.names, *one.older_names, *map(stem_of, one.model_types)}]
    assert {name for name, times in Counter(older).items() if times > 1} <= {*map(stem_of, GENERIC.model_types)}
    assert all(name == stem_of(name) for one in classes for name in (*one.names, *one.older_names))


@pytest.mark.parametrize("kind", TOKENIZER_CLASSES)
def test_architectures_have_their_class(kind: str) -> None:
    wrongly_named = tokenization_auto.MODELS_WITH_INCORRECT_HUB_TOKENIZER_CLASS
    one = TOKENIZER_CLASSES[kind]
    for model_type in one.model_types:
        assert stem_of(tokenization_auto.TOKENIZER_MAPPING_NAMES[model_type]) in ("" if one is GENERIC else kind,)
        assert (model_type in one.overruling) == (model_type in wrongly_named)
        assert class_of({}, {"model_type": model_type}) is one
    assert {*one.overruling} <= {*one.model_types}


@pytest.mark.parametrize("kind", CLASSES)
def test_a_class_opens_what_names_it(kind: str) -> None:
    one = TOKENIZER_CLASSES[kind]
    for name in one.names:
        assert class_of({"tokenizer_class": f"{name}TokenizerFast"}, {}) is one
        assert older_class(name) is one
    for name in one.older_names:
        assert older_class(name) is one
    for model_type in one.model_types:
        assert older_class(older_name_of({}, {"model_type": model_type})) is one


@pytest.mark.parametrize("kind", CLASSES)
def test_what_a_class_takes_for_granted_is_theirs(kind: str) -> None:
    one, name = TOKENIZER_CLASSES[kind], their_name(kind)
    their_class = getattr(transformers, name)
    assert one.padding_side == getattr(their_class, "padding_side", "right")
    assert carried_settings({"tokenizer_class": name}, {}, Path("x")).get("padding_side", "right") == one.padding_side
    assert {role for part in one.frame.parts for role in part} <= {*one.tokens}
    settings = inspect.signature(their_class.__init__).parameters
    assert one.max_length == getattr(settings.get("model_max_length"), "default", None)
    assert one.tells_segments == ("token_type_ids" in their_class.model_input_names)
    said = {role: settings[name].default for name, role in NAMES.items() if name in settings}
    said = {role: token for role, token in said.items() if token is not None}
    assert dict(one.tokens).items() <= said.items()
    # what is missing here: GPT-2's family lets the end of a text stand for the unknown, which no byte is; Gemma's mask
    assert {role for role in said if role not in one.tokens} <= {"unknown", "mask"}


def tiny(one: TokenizerClass, folder: Path, **settings: Any) -> Path:
    """A folder with a tokenizer.json that has a vocabulary and nothing of what the class does around it."""
    assert one.pipeline is not None
    parts = one.pipeline(settings, None)
    special = [*dict.fromkeys(one.tokens.values())]
    model: dict[str, Any] = {"type": parts.model}
    if parts.model == "Unigram":
        unknown = parts.options["unk_id"]
        special.remove(one.tokens["unknown"])
        special.insert(unknown, one.tokens["unknown"])
        letters = sorted({letter for text in TEXT for letter in text.lower() if letter != " "})
        pieces = [*letters, "▁", "▁the", "▁f", "ox", "▁quick"]
        model |= {"vocab": [[piece, 0.0] for piece in special] + [[p, -float(len(pieces))] for p in pieces]}
    elif parts.model == "WordPiece":
        library = tokenizers.Tokenizer(models.WordPiece(unk_token=one.tokens["unknown"]))
        library.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        library.train_from_iterator(TEXT, trainers.WordPieceTrainer(vocab_size=150, special_tokens=special))
        model |= {
            "vocab": library.get_vocab(),
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
        }
    else:
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        bytes_ = [] if one.is_byte_level else [f"<0x{byte:02X}>" for byte in range(256)]
        library = tokenizers.Tokenizer(models.BPE())
        library.pre_tokenizer = parts.pre_tokenizer
        if parts.normalizer:
            library.normalizer = parts.normalizer
        trainer = trainers.BpeTrainer(
            vocab_size=700, special_tokens=special + bytes_, initial_alphabet=alphabet if one.is_byte_level else []
        )
        library.train_from_iterator(TEXT, trainer)
        written = json.loads(library.to_str())["model"]
        model |= {"vocab": written["vocab"], "merges": written["merges"]}
    content = {"version": "1.0", "added_tokens": [], "model": model}
    parts_around = dict.fromkeys(("truncation", "padding", "normalizer", "pre_tokenizer", "post_processor", "decoder"))
    (folder / "tokenizer.json").write_text(json.dumps(content | parts_around), encoding="utf-8")
    named = {"tokenizer_class": their_name(one.names[0])}
    (folder / "tokenizer_config.json").write_text(json.dumps(named | settings), encoding="utf-8")
    (folder / "config.json").write_text(json.dumps({"model_type": (*one.model_types, "llama")[0]}), encoding="utf-8")
    return folder


@pytest.mark.parametrize("spaced", [None, True])
@pytest.mark.parametrize("kind", OWN_PIPELINE)
def test_ids_of_a_bare_vocabulary_are_theirs(kind: str, spaced: bool | None, tmp_path: Path) -> None:
    one = TOKENIZER_CLASSES[kind]
    settings = {} if spaced is None else {"add_prefix_space": spaced, "do_lower_case": False, "keep_accents": True}
    folder = tiny(one, tmp_path, **settings)
    ours, reference = open_tokenizer(folder), theirs(folder)
    assert type(reference).__name__ == their_name(kind)
    marked = [f"the {token} fox{token}" for token in one.tokens.values()]
    for text in [*PROBES, "1234 ½ ﬁ e\u0301", *marked]:
        assert ours.prompt(text).tolist() == reference(text, add_special_tokens=False)["input_ids"], text
        if one.put_around:  # the others take what tokenizer.json says, which is nothing here
            assert ours.framed(text).tolist() == reference(text)["input_ids"], text
            assert ours.framed(text, "the dog").tolist() == reference(text, "the dog")["input_ids"], text


# ------------------------------------------------------------------------------------------------------ which one it is


@pytest.mark.parametrize(
    ("named", "architecture", "kind"),
    [
        ("BertTokenizerFast", "bert", "bert"),
        ("RobertaTokenizer", "bert", "roberta"),
        (None, "distilbert", "bert"),
        ("DistilBertTokenizer", "distilbert", "bert"),
        ("LlamaTokenizer", "mistral", "generic"),
        ("LlamaTokenizerFast", "llama", "llama"),
        ("PreTrainedTokenizerFast", "gpt2", "generic"),
        ("PreTrainedTokenizerFast", "qwen2", "qwen2"),
        ("UnheardTokenizer", "t5", "generic"),
        (None, "llama", "generic"),
    ],
)
def test_the_class_of_a_folder(named: str | None, architecture: str, kind: str) -> None:
    one = TOKENIZER_CLASSES[kind]
    assert class_of({"tokenizer_class": named}, {"model_type": architecture}) is one
    assert class_of({}, {"tokenizer_class": named, "model_type": architecture}) is one


def test_older_files_have_the_frame_of_a_class_that_does_not_open_them() -> None:
    assert older_class(older_name_of({}, {"model_type": "mistral"})) is LLAMA
    assert older_class(older_name_of({"tokenizer_class": "PreTrainedTokenizerFast"}, {"model_type": "llama"})) is LLAMA
    assert older_class(older_name_of({}, {"model_type": "olmo2"})) is GENERIC
    assert older_class("") is GENERIC


def test_a_vocabulary_shows_the_most_tokens_that_it_has() -> None:
    roberta = TOKENIZER_CLASSES["roberta"].tokens
    known = {token: id for id, token in enumerate(roberta.values())}
    assert shown_tokens(known) == roberta
    assert shown_tokens({token: id for token, id in known.items() if token != "<mask>"}) == LLAMA.tokens
    assert shown_tokens({"<|endoftext|>": 0, "<|padding|>": 1}) == family_tokens("gpt").roles
    assert shown_tokens({"a": 0}) == {}


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
