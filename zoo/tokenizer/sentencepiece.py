"""SentencePiece models as tokenizers of the `tokenizers` library: Kudo & Richardson 2018, arXiv:1808.06226.

The file is a protocol buffer: pieces with scores and types, how the text is normalized, the ids of special pieces. Its
schema comes with the `sentencepiece` package; the model itself is not run by it, but by the library that runs all other
tokenizers here. The ids are the same (tests compare them on real text), but where two segmentations are about equally
likely: SentencePiece adds their scores up in float32.

A BPE model has no list of merges. It joins the neighbours whose joint piece has the best score, so the merges are all
ways to cut a piece in two others, best piece first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers

from zoo.errors import DataError
from zoo.tokenizer.library import guarded
from zoo.tokenizer.links import read_bytes

SPACE = "▁"
SHIFTED_OTHERWISE = ("camembert", "mbart", "m2m100")
"""Classes and architectures whose ids are neither those of their SentencePiece model nor shifted as XLM-RoBERTa's."""
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6
UNIGRAM, BPE = 1, 2


def read_sentencepiece(file: Path, unknown: str | None = None) -> tokenizers.Tokenizer:
    """The tokenizer that a SentencePiece model is.

    Args:
        file: of the model.
        unknown: the token that stands for the unknown, where its folder names one; the model's own is then no special
            token, unless it is that one.

    Raises:
        DataError: the package `sentencepiece` is missing, the file is damaged, or its model is neither unigram nor BPE.
    """
    return from_model(parsed(file), file, unknown)


def from_model(proto: Any, file: Path, unknown: str | None = None) -> tokenizers.Tokenizer:
    """The tokenizer of a model by itself; `file` is where it is from. Otherwise as `read_sentencepiece`."""
    kind = proto.trainer_spec.model_type
    if kind not in (UNIGRAM, BPE):
        raise DataError(f"{file} holds a SentencePiece model of words or characters; only unigram and bpe open here")
    if proto.trainer_spec.treat_whitespace_as_suffix:
        raise DataError(f"{file} marks spaces behind words (treat_whitespace_as_suffix), which does not open here")
    with guarded(f"read the tokenizer {file}", DataError):
        library = tokenizers.Tokenizer(_unigram(proto) if kind == UNIGRAM else _bpe(proto))
        library.normalizer = normalizer_of(proto.normalizer_spec)
        library.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never", split=may_split(proto))
        library.decoder = decoder_of(proto)
        for types, special in (((UNKNOWN, CONTROL), True), ((USER_DEFINED,), False)):
            found = [piece for piece in proto.pieces if piece.type in types]
            names = [one.piece for one in found if one.type != UNKNOWN or unknown in (None, one.piece)]
            library.add_tokens([AddedToken(name, normalized=False, special=special) for name in names])
    return library


def shifted(library: tokenizers.Tokenizer, tokens: Mapping[str, str]) -> tokenizers.Tokenizer:
    """XLM-RoBERTa's ids (Conneau et al. 2019, arXiv:1911.02116): <s> <pad> </s> <unk>, the pieces, and <mask> last.

    Args:
        library: of the SentencePiece model.
        tokens: how these five are spelt, role → token.
    """
    model = library.model
    assert isinstance(model, models.Unigram), "XLM-RoBERTa's model is a unigram model"
    pieces = sorted(library.get_vocab(with_added_tokens=False).items(), key=lambda item: item[1])
    scores = dict(json.loads(library.to_str())["model"]["vocab"])
    front = [(tokens[role], 0.0) for role in ("begin", "padding", "end", "unknown")]
    rest = [(piece, scores[piece]) for piece, _ in pieces[3:]]
    again = tokenizers.Tokenizer(models.Unigram([*front, *rest, (tokens["mask"], 0.0)], unk_id=3, byte_fallback=False))
    again.normalizer, again.pre_tokenizer = library.normalizer, library.pre_tokenizer
    again.decoder = library.decoder
    again.add_special_tokens([AddedToken(name, special=True, normalized=False) for name, _ in front])
    return again


def hide(library: tokenizers.Tokenizer, pieces: Iterable[str]) -> None:
    """Keeps pieces of a vocabulary from being found in texts, in place; their ids stay. They have no spaces.

    A unigram model finds whatever piece it has where letters are unknown to it, at any score. So it gets such a text in
    two parts, cut before its first letter: signs that are unknown to it stay one unknown.
    """
    parts = [re.fullmatch(r"(\W+|.)(.*)", piece) for piece in pieces]
    cuts = [
        pre_tokenizers.Split(Regex(f"{re.escape(part[1])}(?={re.escape(part[2])})"), "merged_with_previous")
        for part in parts
        if part is not None
    ]
    library.pre_tokenizer = pre_tokenizers.Sequence([library.pre_tokenizer, *cuts])


def empty(file: Path, doing: str = "read") -> Any:
    """A model without content, which is to be read from a file or to be written ("write") as one.

    Raises:
        DataError: the package `sentencepiece` is missing.
    """
    try:
        from sentencepiece import sentencepiece_model_pb2 as schema
    except ImportError as error:
        raise DataError(
            f"{file} is a SentencePiece model; to {doing} it, install the package sentencepiece "
            f"(pip install '.[sentencepiece]' in the clone): {error}"
        ) from None
    return schema.ModelProto()  # type: ignore[attr-defined]  # the module makes its classes when it is imported


def parsed(file: Path) -> Any:
    """What a file holds; DataError where it is damaged, or the package `sentencepiece` is missing."""
    proto = empty(file)
    try:
        proto.ParseFromString(read_bytes(file))
    except DataError:
        raise
    except Exception as error:  # of protobuf's own class, or of the file system
        raise DataError(f"cannot read the SentencePiece model {file}: {error}") from None
    if not proto.pieces:
        raise DataError(f"{file} is no SentencePiece model: it has no pieces")
    return proto


def _unigram(proto: Any) -> models.Unigram:
    pieces = [(piece.piece, piece.score) for piece in proto.pieces]
    unknown = next(id for id, piece in enumerate(proto.pieces) if piece.type == UNKNOWN)
    return models.Unigram(pieces, unk_id=unknown, byte_fallback=proto.trainer_spec.byte_fallback)


def _bpe(proto: Any) -> models.BPE:
    ids = {piece.piece: id for id, piece in enumerate(proto.pieces)}
    scores = {piece.piece: piece.score for piece in proto.pieces if piece.type in (NORMAL, USER_DEFINED)}
    merges = []
    for joint in scores:
        for cut in range(1, len(joint)):
            one, other = joint[:cut], joint[cut:]
            if one in scores and other in scores:
                merges.append((-scores[joint], ids[one], ids[other], (one, other)))
    unknown = next(piece.piece for piece in proto.pieces if piece.type == UNKNOWN)
    return models.BPE(
        vocab=ids,
        merges=[pair for *_, pair in sorted(merges)],
        unk_token=unknown,
        fuse_unk=True,
        byte_fallback=proto.trainer_spec.byte_fallback,
    )


def normalizer_of(spec: Any) -> normalizers.Normalizer:
    """What is done to a text before it is cut, each space marked."""
    steps: list[normalizers.Normalizer] = []
    if spec.precompiled_charsmap:
        steps.append(normalizers.Precompiled(spec.precompiled_charsmap))
    if spec.remove_extra_whitespaces:
        steps += [normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]
    if spec.add_dummy_prefix:
        steps.append(normalizers.Prepend(SPACE))  # also before a space: the pre-tokenizer's own prefix leaves that out
    return normalizers.Sequence([*steps, normalizers.Replace(" ", SPACE)])


def may_split(proto: Any) -> bool:
    """Whether a text can be cut before each space, which lets the library remember words."""
    return not any(SPACE in piece.piece[1:] for piece in proto.pieces if piece.type == NORMAL)


def decoder_of(proto: Any) -> decoders.Decoder:
    """How pieces become a text again."""
    spaces = decoders.Metaspace(prepend_scheme="always" if proto.normalizer_spec.add_dummy_prefix else "never")
    if not proto.trainer_spec.byte_fallback:
        return spaces
    return decoders.Sequence([decoders.ByteFallback(), spaces, decoders.Fuse()])
