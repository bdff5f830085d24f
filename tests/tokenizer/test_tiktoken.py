"""tiktoken's files give the ids that its algorithm gives."""

import base64
import json
from itertools import pairwise
from pathlib import Path

import pytest
import regex

import zoo.tokenizer.tiktoken as tiktoken
from zoo.errors import DataError
from zoo.tokenizer.foreign import find_tokenizer, open_tokenizer

TOKENS = [bytes([byte]) for byte in range(256)]
TOKENS += [b"th", b"he", b"in", b" t", b"the", b" the", b"ing", b"thing", b"12", b"123", b"\n\n", b"  ", b"   "]
TOKENS += ["é".encode(), b"ll", b"'ll", b"ab", b"bc", b"abc", b"abcd", b"cd", b" thing"]
TEXTS = [
    "the thing",
    " things 12345 abcd abc bcd",
    "We'LL  see\n\n\n the   café",
    "🙂 中文 'tis\r\n",
    "",
    " ",
    "abcdabcdbc",
]


def write(folder: Path, tokens: list[bytes]) -> Path:
    file = folder / "tokenizer.model"
    file.write_text("".join(f"{base64.b64encode(token).decode()} {rank}\n" for rank, token in enumerate(tokens)))
    return file


def tiktokens(text: str) -> list[int]:
    """The ids by the definition: a known piece is a token, others join their neighbours of the lowest joint rank."""
    ranks = {token: rank for rank, token in enumerate(TOKENS)}
    ids = []
    for piece in regex.findall(tiktoken.PIECES, text):
        data = piece.encode()
        parts = [data] if data in ranks else [bytes([byte]) for byte in data]
        while joint := [ranks[one + other] for one, other in pairwise(parts) if one + other in ranks]:
            best = min(joint)
            place = next(at for at, (one, other) in enumerate(pairwise(parts)) if ranks.get(one + other) == best)
            parts[place : place + 2] = [parts[place] + parts[place + 1]]
        ids += [ranks[part] for part in parts]
    return ids


def test_ids_are_tiktokens(tmp_path: Path) -> None:
    tokenizer = open_tokenizer(write(tmp_path, TOKENS))
    for text in TEXTS:
        ids = tokenizer.encode(text).tolist()
        assert ids == tiktokens(text)
        assert tokenizer.decode(ids) == text
    assert tokenizer.vocab_size == len(TOKENS) + 256


def test_special_tokens_are_those_of_metas_code(tmp_path: Path) -> None:
    """Of Llama 3 and of 3.1, behind the ranks; a text stands behind <|begin_of_text|>."""
    write(tmp_path, TOKENS)
    first = len(TOKENS)
    three = find_tokenizer(tmp_path)
    (tmp_path / "params.json").write_text(json.dumps({"use_scaled_rope": True}))
    later = find_tokenizer(tmp_path)
    assert three is not None
    assert later is not None
    shared = {0: "<|begin_of_text|>", 1: "<|end_of_text|>", 6: "<|start_header_id|>", 7: "<|end_header_id|>"}
    for tokenizer, own in (
        (
            three,
            {
                4: "<|reserved_special_token_2|>",
                8: "<|reserved_special_token_4|>",
                255: "<|reserved_special_token_250|>",
            },
        ),
        (later, {4: "<|finetune_right_pad_id|>", 8: "<|eom_id|>", 255: "<|reserved_special_token_246|>"}),
    ):
        for place, name in (shared | {9: "<|eot_id|>"} | own).items():
            assert tokenizer.token(first + place) == name
        assert tokenizer.framed("the").tolist() == [first, *tiktokens("the")]
        assert tokenizer.role("end") == first + 1
        assert tokenizer.encode("<|eot_id|>").tolist() == tiktokens("<|eot_id|>")
        assert tokenizer.prompt("<|eot_id|>").tolist()[-1] == first + 9


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda lines: [*lines[:5], "dGg= 9", *lines[6:]], "line 6 must be a token in base64, a space and the rank 5"),
        (lambda lines: [*lines[:5], "dGg 5", *lines[6:]], "line 6 must be a token in base64"),
        (lambda lines: [*lines, f"dGhl {len(lines)}"], r"has the token b'the' again"),
        (lambda lines: lines[:200], r"no token for 56 of the 256 bytes \(0xc8"),
    ],
)
def test_what_is_damaged_is_told(change, message: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    file = write(tmp_path, TOKENS)
    file.write_text("\n".join(change(file.read_text().splitlines())) + "\n")
    with pytest.raises(DataError, match=message):
        open_tokenizer(file)
