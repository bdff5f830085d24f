"""Marian's tokenizer: Junczys-Dowmunt et al. 2018, arXiv:1804.00344, as transformers holds the OPUS-MT models.

Three files make it: source.spm and target.spm, a SentencePiece model of each language, and vocab.json, one list of the
pieces of both with their ids. What the encoder reads is cut with the first model, what the decoder writes with the
second. Each becomes a tokenizer of its own over the same ids: a piece that only the other model has is there for
decoding, with a score so low that it is cut out of a text only where this model has no piece of its own. The way back
tells the two apart by that score.

A text may begin with one language code, as ">>fr<< The house"; the list has those that the model knows. It is a token
only there: elsewhere it is cut as any text is. A code that the list lacks is one unknown token.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers

from zoo.errors import DataError
from zoo.tokenizer.library import guarded
from zoo.tokenizer.sentencepiece import (
    CONTROL,
    NORMAL,
    SPACE,
    UNIGRAM,
    UNKNOWN,
    USER_DEFINED,
    decoder_of,
    empty,
    may_split,
    normalizer_of,
    parsed,
)
from zoo.tokenizer.special_tokens import FAMILIES

VOCABULARY_NAME = "vocab.json"
SOURCE_NAME, TARGET_NAME = "source.spm", "target.spm"
OPENED_BY = "MarianTokenizer"
"""The class of transformers that opens these files."""
FAR = -1e4
"""A character's score in a piece of the other language: far below what any text of this one can cost."""
_TABLE = "nfkc"
"""What the names of tables that compose letters have in them: nmt_nfkc, nfkc, nfkc_cf, …"""
_MARK, _STRANGE = "\ufdd1", "\ufdd2"
"""Two characters that Unicode sets aside for programs' own use: one before a code at the start of a text, and one that
stands there for a code that is unknown, since no vocabulary has it."""


def read_marian(file: Path, ids: Mapping[str, int]) -> tokenizers.Tokenizer:
    """The tokenizer of one of the two languages, with ids from the list of both.

    Args:
        file: source.spm or target.spm.
        ids: piece → id, 0 up.

    Raises:
        DataError: the ids have holes, or there is none for the unknown; the model is none of unigrams.
    """
    proto = parsed(file)
    if proto.trainer_spec.model_type != UNIGRAM:
        raise DataError(f"{file} holds no unigram model: Marian's tokenizer opens only with one")
    if sorted(ids.values()) != [*range(len(ids))] or "<unk>" not in ids:
        raise DataError(
            f"{file.with_name(VOCABULARY_NAME)} must give each piece an id of its own, 0 up, <unk> among them"
        )
    codes = [piece for piece in ids if _is_code(piece)]
    scores = {piece.piece: piece.score for piece in proto.pieces if piece.type in (NORMAL, USER_DEFINED)}
    joined = _joined(scores, codes, ids)
    scores |= dict.fromkeys(codes, 0.0)  # one has a part of the text for itself, and is the likeliest way to cut that
    # The longer, the further: no piece is worth it for one letter that is unknown.
    pieces = [(piece, scores.get(piece, FAR * max(len(piece), 1))) for piece in sorted(ids, key=ids.__getitem__)]
    with guarded(f"read the tokenizer {file}", DataError):
        library = tokenizers.Tokenizer(models.Unigram(pieces, unk_id=ids["<unk>"], byte_fallback=False))
        library.normalizer = normalizers.Sequence(
            [*_marked(codes), *_composed(proto.normalizer_spec), normalizer_of(proto.normalizer_spec), *joined]
        )
        library.pre_tokenizer = pre_tokenizers.Sequence(
            _cuts(codes, "always" if proto.normalizer_spec.add_dummy_prefix else "never", may_split(proto))
        )
        # Behind a special token, where that is shown, stands one space, and none at the ends.
        spaced = [decoders.Replace(Regex(f"{token} ?"), f"{token} ") for token in FAMILIES["t5"].values()]
        ends = decoders.Replace(Regex(r"\A\s+|\s+\z"), "")
        library.decoder = decoders.Sequence([decoder_of(proto), decoders.Fuse(), *spaced, ends])
    return library


def _is_code(piece: str) -> bool:
    return piece.startswith(">>") and piece.find("<<") == len(piece) - 2


def _spelt(codes: Iterable[str]) -> str:
    """A pattern of what stands between the signs of a code that is known; of none, it matches nothing."""
    return "|".join(re.escape(code[2:-2]) for code in codes) or "(?!)"


def _marked(codes: list[str]) -> list[normalizers.Normalizer]:
    """Puts the mark before a code that a text begins with; a code that is unknown becomes one strange character."""
    known = _spelt(codes)
    return [
        normalizers.Replace(_MARK, _STRANGE),
        normalizers.Replace(Regex(rf"\A>>(?!(?:{known})<<)[\s\S]*?<<"), f"{_MARK}{_STRANGE}"),
        normalizers.Replace(Regex(rf"\A>>(?=(?:{known})<<)"), f"{_MARK}>>"),
    ]


def _composed(spec: Any) -> list[normalizers.Normalizer]:
    """Composes letters and their marks first, where the model's own table does: the library applies that table to no
    more than five bytes at a time."""
    return [normalizers.NFC()] if spec.precompiled_charsmap and _TABLE in spec.name else []


def _joined(own: Iterable[str], codes: Iterable[str], ids: Iterable[str]) -> list[normalizers.Normalizer]:
    """Makes one strange character of several that the model does not know, as it does: they are one unknown token.

    A single one has the id that the list has for it, by the other language's pieces.
    """
    known = {*"".join(own), *"".join(code[2:-2] for code in codes), _MARK}
    if all(len(piece) > 1 or piece in known for piece in ids):
        return []
    others = "".join(re.escape(one) for one in sorted(known))
    fronts = [_MARK, f"{_MARK}>", *(f"{_MARK}{code[:cut]}" for code in codes for cut in (-2, -1))]
    marked = "|".join(map(re.escape, fronts))  # the signs of a code stay
    return [normalizers.Replace(Regex(f"(?=[^{others}]{{2}})(?<!{marked})[^{others}]{{2,}}"), _STRANGE)]


def _cuts(codes: list[str], prefix: str, split: bool) -> list[pre_tokenizers.PreTokenizer]:
    """Cuts a marked code off, puts a space before what follows, and keeps what is spelt like a code in the midst from
    being found as one."""
    known = _spelt(codes)
    return [
        pre_tokenizers.Split(Regex(rf"\A{SPACE}?{_MARK}(?:{_STRANGE}|>>(?:{known})<<)"), "isolated"),
        pre_tokenizers.Metaspace(prepend_scheme=prefix, split=split),
        pre_tokenizers.Split(Regex(rf"(?<!{_MARK})>>(?=(?:{known})<<)"), "merged_with_previous"),
        pre_tokenizers.Split(Regex(rf"\A{SPACE}?{_MARK}"), "removed"),
    ]


def write_marian(source: str, target: str, folder: Path) -> None:
    """Writes the three files.

    Args:
        source, target: the text of the tokenizer.json of each language, as `read_marian` made it; tokens that were
            added to its pieces are not in these files.
        folder: exists.

    Raises:
        DataError: the package `sentencepiece` is missing.
    """
    for name, definition in ((SOURCE_NAME, source), (TARGET_NAME, target)):
        (folder / name).write_bytes(_model(json.loads(definition), folder / name))
    pieces = json.loads(source)["model"]["vocab"]
    ids = {piece: id for id, (piece, _) in enumerate(pieces)}
    (folder / VOCABULARY_NAME).write_text(json.dumps(ids, ensure_ascii=False, indent=1), encoding="utf-8")


def _model(definition: dict[str, Any], file: Path) -> bytes:
    """The SentencePiece model of a tokenizer.json."""
    proto = empty(file, "write")
    proto.trainer_spec.model_type = UNIGRAM
    for piece, kind in (("<unk>", UNKNOWN), ("<s>", CONTROL), ("</s>", CONTROL)):
        proto.pieces.add(piece=piece, score=0.0, type=kind)
    for piece, score in definition["model"]["vocab"]:
        if score > FAR and not _is_code(piece):
            proto.pieces.add(piece=piece, score=score, type=NORMAL)
    proto.trainer_spec.vocab_size = len(proto.pieces)
    steps = {step["type"]: step for step in definition["normalizer"]["normalizers"]}
    spec = proto.normalizer_spec
    if "NFC" in steps:
        spec.name = _TABLE
    if "Precompiled" in steps:
        spec.precompiled_charsmap = base64.b64decode(steps["Precompiled"]["precompiled_charsmap"])
    spec.remove_extra_whitespaces = "Strip" in steps
    spec.add_dummy_prefix = "Prepend" in steps
    content: bytes = proto.SerializeToString()
    return content
