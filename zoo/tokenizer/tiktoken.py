"""tiktoken's files, as Llama 3 has one (github.com/meta-llama/llama3): a line for each token: base64, space, rank.

A piece of text is a token where the file has it; or else its bytes are joined, always the two neighbours whose joint
bytes have the lowest rank. So the file has no list of merges: they are all ways to cut a token in two others, lowest
rank first. What cuts a text into pieces and the special tokens stand in Meta's code, not in the file; both here are
Llama 3's, so a file of other special tokens does not open as what it is.
"""

from __future__ import annotations

import base64
import re
from pathlib import Path

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers

from zoo.errors import DataError
from zoo.tokenizer.library import guarded
from zoo.tokenizer.links import followed, read_bytes
from zoo.tokenizer.special_files import read_object

LINE = re.compile(rb"([A-Za-z0-9+/]+={0,2}) ([0-9]+)")
PIECES = "|".join(
    (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)",
        r"[^\r\n\p{L}\p{N}]?\p{L}+",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    )
)
"""What Llama 3 cuts texts into: endings, words, up to three digits, signs, line ends, spaces."""
BEGIN, END, END_OF_TURN = "<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"
NUM_SPECIAL = 256
RESERVED = "<|reserved_special_token_{}|>"
ROLES = {"begin": BEGIN, "end": END}


def is_tiktoken(file: Path) -> bool:
    """Whether a file begins as tiktoken's do; one of SentencePiece begins with a byte that none of them has."""
    try:
        with followed(file.parent, file.name).open("rb") as stream:
            return LINE.fullmatch(stream.readline(4096).rstrip(b"\r\n")) is not None
    except OSError:
        return False  # told by whoever reads it


def read_tiktoken(file: Path) -> tokenizers.Tokenizer:
    """The tokenizer of a Llama 3 whose ranks are in `file`.

    Raises:
        DataError: the file is damaged: a line of another form, a rank out of order, a token twice, a byte missing.
    """
    spelt = _spelt(file)
    vocabulary = {token: rank for rank, token in enumerate(spelt)}
    cuts = [(token[:place], token[place:]) for token in spelt for place in range(1, len(token))]
    merges = [(one, other) for one, other in cuts if one in vocabulary and other in vocabulary]
    with guarded(f"read the tokenizer {file}", DataError):
        library = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=True))
    library.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    library.decoder = decoders.ByteLevel()
    scaled = read_object(file.with_name("params.json")).get("use_scaled_rope") is True
    library.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in special_names(scaled)])
    return library


def special_names(later: bool) -> list[str]:
    """Llama 3's special tokens in the order of their ids; `later`: from 3.1 on, whose files scale the angles."""
    if later:
        front = [BEGIN, END, *map(RESERVED.format, range(2)), "<|finetune_right_pad_id|>", "<|step_id|>"]
        front += ["<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", END_OF_TURN, "<|python_tag|>"]
        used = 2
    else:
        front = [BEGIN, END, *map(RESERVED.format, range(4)), "<|start_header_id|>", "<|end_header_id|>"]
        front += [RESERVED.format(4), END_OF_TURN]
        used = 5
    return [*front, *(RESERVED.format(used + number) for number in range(NUM_SPECIAL - len(front)))]


def _spelt(file: Path) -> list[str]:
    """The tokens in the order of their ranks, a character for each byte (Radford et al. 2019)."""
    shown = _shown_bytes()
    ranks: dict[str, int] = {}
    try:
        lines = read_bytes(file).splitlines()
    except OSError as error:
        raise DataError(f"cannot read the tokenizer file {file}: {error}") from None
    for number, line in enumerate(lines):
        found = LINE.fullmatch(line)
        try:
            token = b"" if found is None else base64.b64decode(found[1], validate=True)
        except ValueError:
            token = b""
        if found is None or not token or int(found[2]) != number:
            raise DataError(
                f"{file}: line {number + 1} must be a token in base64, a space and the rank {number}, not {line!r:.60}"
            )
        if ranks.setdefault("".join(shown[byte] for byte in token), number) != number:
            raise DataError(f"{file}: line {number + 1} has the token {token!r} again")
    if missing := [byte for byte in range(256) if shown[byte] not in ranks]:
        raise DataError(
            f"{file} has no token for {len(missing)} of the 256 bytes ({missing[0]:#04x}, …): it is cut off"
        )
    return list(ranks)


def _shown_bytes() -> list[str]:
    """The character that stands for each byte in byte-level vocabularies: itself where that shows, or one above 255."""
    showing = {*range(0x21, 0x7F), *range(0xA1, 0x100)} - {0xAD}
    hidden = sorted({*range(256)} - showing)
    return [chr(byte) if byte in showing else chr(256 + hidden.index(byte)) for byte in range(256)]
