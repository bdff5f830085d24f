"""Older files with what transformers' classes put around them: equal ids, on real texts and on odd ones."""

import gzip
import json
from pathlib import Path

import pytest

from tests.tokenizer.families import PROBES, pairs, theirs, word_pieces
from zoo.errors import DataError
from zoo.tokenizer.classes import TOKENIZER_CLASSES
from zoo.tokenizer.foreign import open_tokenizer

BYTE_LEVEL = [name for name, one in TOKENIZER_CLASSES.items() if one.is_byte_level]
ODD = [
    *PROBES,
    "a b  c 12345 67",
    "I'LL they'Re don't 'tis",
    "Hello\n\nworld\t!\r\n  x",
    "  lead",
    "tail  ",
    "e\u0301 é ﬁ Å Å ½ ² ٣٤",
    "你好 the 🙂\u200d🙂 \x00\ufeff\xad",
    "A</s>b <s>c [MASK] <|endoftext|>the <mask> fox <pad>",
]


def real_texts(folder: Path) -> list[str]:
    """English with digits and code-like signs, and German."""
    with gzip.open(folder / "multi30k_en_de" / "val.de.gz", "rt", encoding="utf-8") as lines:
        german = lines.read().split("\n")[:100]
    with (folder / "gsm8k" / "test.jsonl").open(encoding="utf-8") as lines:
        sums = [json.loads(line)["answer"] for line, _ in zip(lines, range(100), strict=False)]
    return german + sums


def folder_of(kind: str, architecture: str, folder: Path, **settings: object) -> Path:
    if kind == "bert":
        (folder / "vocab.txt").write_text("\n".join(word_pieces()) + "\n", encoding="utf-8")
    else:
        special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"] if kind == "roberta" else ["<|endoftext|>", "<|padding|>"]
        pairs(folder, special)
    (folder / "config.json").write_text(json.dumps({"model_type": architecture}))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


@pytest.mark.parametrize("spaced", [False, True])
@pytest.mark.parametrize("kind", ["bert", *BYTE_LEVEL])
def test_ids_are_theirs(kind: str, spaced: bool, tmp_path: Path, shared_data: Path) -> None:
    architecture = {"gptneox": "gpt_neox", "qwen2": "qwen3"}.get(kind, kind)
    settings = (
        {"do_lower_case": not spaced, "strip_accents": spaced} if kind == "bert" else {"add_prefix_space": spaced}
    )
    ours = open_tokenizer(folder_of(kind, architecture, tmp_path, **settings))
    reference = theirs(tmp_path)
    for text in [*ODD, *real_texts(shared_data)]:
        assert ours.framed(text).tolist() == reference(text)["input_ids"], text


@pytest.mark.parametrize("said", [{"model_type": "olmo2"}, {"model_type": "x", "tokenizer_class": "OddTokenizer"}])
def test_pairs_of_a_family_whose_cuts_are_not_known_are_refused(said: dict[str, str], tmp_path: Path) -> None:
    folder_of("gpt2", "gpt2", tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(said))
    with pytest.raises(DataError, match=f"{next(reversed(said.values()))}.*tokenizer.json"):
        open_tokenizer(tmp_path)
