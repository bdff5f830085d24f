"""What files say about special tokens, ours and Hugging Face's."""

import json
from pathlib import Path

import pytest

from tests.tokenizer.families import FAMILIES
from zoo.errors import DataError
from zoo.tokenizer.foreign import open_tokenizer
from zoo.tokenizer.special_files import read_special_tokens
from zoo.tokenizer.special_tokens import FILE_NAME, family_tokens

BERT = {token: id for id, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"])}


def test_ours_come_back(tmp_path: Path) -> None:
    special = family_tokens("bert")._replace(boundaries="spaces", closed=True)
    (tmp_path / FILE_NAME).write_text(special.to_json())
    assert read_special_tokens(tmp_path, BERT) == special


def test_a_foreign_map_is_read_by_exact_names(tmp_path: Path) -> None:
    (tmp_path / "special_tokens_map.json").write_text(json.dumps({"pad_token": {"content": "[PAD]"}, "eos_token": "a"}))
    special = read_special_tokens(tmp_path, BERT)
    assert special.roles == {"padding": "[PAD]", "end": "a"}
    assert special.boundaries == "none"


def test_without_a_map_a_whole_family_is_recognised(tmp_path: Path) -> None:
    assert read_special_tokens(tmp_path, BERT).roles == family_tokens("bert").roles
    assert read_special_tokens(tmp_path, {"[PAD]": 0, "[CLS]": 1}).roles == {}
    assert read_special_tokens(tmp_path, {"<extra_id_0>": 7, "<extra_id_1>": 6}).sentinels == (
        "<extra_id_0>",
        "<extra_id_1>",
    )


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\x00",
        b"[]",
        b"{}",
        b'{"roles": {"mask": 3}, "sentinels": [], "boundaries": "none", "closed": false}',
        b'{"roles": {"mask": "[GONE]"}, "sentinels": [], "boundaries": "none", "closed": false}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(DataError, match=FILE_NAME):
        read_special_tokens(tmp_path, BERT)


def test_ids_in_the_configs_are_roles(tmp_path: Path) -> None:
    FAMILIES["gpt2"](tmp_path)
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [5, 7], "bos_token_id": 3}))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2", "eos_token_id": 5, "pad_token_id": 4}))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|endoftext|>"}))
    # begin: as transformers' GPT2Tokenizer has it; it has no padding
    assert open_tokenizer(tmp_path).roles == {"end": 0, "begin": 0, "padding": 4}
