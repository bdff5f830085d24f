"""A tokenizer: text to ids and back, with special tokens known by role.

One class for every kind. What differs between kinds (pre-tokenizer, model, decoder) lives in tokenizer.json, the format
of the `tokenizers` library; what that file cannot say lives beside it in special_tokens.json. Opening either only reads
data: no code is run, no network is asked, no path outside the folder is touched.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers

from zoo.errors import ConfigError, DataError
from zoo.tokenizer.beside import settled
from zoo.tokenizer.joining import FlatIds, JoiningEncoder
from zoo.tokenizer.library import check_text, guarded, ids_of, opened
from zoo.tokenizer.links import read_bytes
from zoo.tokenizer.special_files import read_special_tokens
from zoo.tokenizer.special_tokens import FILE_NAME, ROLES, SpecialTokens, families_with

LIBRARY_FILE_NAME = "tokenizer.json"
TARGETS_FILE_NAME = "target_tokenizer.json"
"""Beside it where what a decoder writes is cut otherwise than what it is asked (Marian)."""
_BYTE_TOKEN = re.compile("<0x([0-9A-Fa-f]{2})>")


class Tokenizer:
    """Text to ids and back.

    Attributes:
        vocab_size: number of ids, added tokens included; every id is below it.
        roles: role → id; which roles there are depends on the family (see `zoo.tokenizer.special_tokens`).
        sentinels: ids of <extra_id_0>, <extra_id_1>, … (T5), else ().
        is_framed: whether its file says which special tokens stand around a text (`framed`).
        special_ids: (n,) int64, the ids of all special tokens, sorted.
        definition: the text of its tokenizer.json.
        fingerprint: SHA-256 of everything that decides the ids, in hex; survives saving and loading.
    """

    def __init__(self, definition: str, special: SpecialTokens, targets: str | None = None) -> None:
        """A tokenizer from the text of a tokenizer.json.

        Args:
            definition: that text.
            special: what it does not say.
            targets: the text of the one for what a decoder writes, where that is another (`for_targets`).

        Raises:
            DataError: a text is no tokenizer.json, or lacks a special token; the two have not the same tokens.
        """
        self.definition = definition
        self._special = special
        self._library = library = opened(definition)
        library.encode_special_tokens = True  # a text that spells out [MASK] is text
        vocabulary: dict[str, int] = library.get_vocab(with_added_tokens=True)
        if not vocabulary:
            raise DataError("the tokenizer has an empty vocabulary")
        self.vocab_size: int = max(vocabulary.values()) + 1
        self.roles: dict[str, int] = {role: vocabulary[token] for role, token in special.roles.items()}
        self.sentinels: tuple[int, ...] = tuple(vocabulary[token] for token in special.sentinels)
        self.is_framed = bool(library.num_special_tokens_to_add(False))
        added = library.get_added_tokens_decoder()
        marked = {id for id, token in added.items() if token.special}
        self.special_ids = np.array(sorted({*marked, *self.roles.values(), *self.sentinels}), dtype=np.int64)
        self._silent = frozenset(self.special_ids.tolist())
        self._encoder = JoiningEncoder(library, definition, special.boundaries, self.roles.get("unknown"))
        self._alphabet = frozenset(token for token in vocabulary if len(token) == 1) if special.closed else None
        self._targets = None if targets is None else Tokenizer(targets, special)
        if self._targets is not None and self._targets._library.get_vocab(with_added_tokens=True) != vocabulary:
            raise DataError("the tokenizer of what a decoder writes must have the tokens of the other, with their ids")
        # Of the text as it is saved: the library does not always read back the very float that it wrote.
        said = [definition, *([] if targets is None else [targets]), special.to_json()]
        self.fingerprint = hashlib.sha256("\n".join(said).encode()).hexdigest()

    @property
    def special(self) -> SpecialTokens:
        """What its tokenizer.json does not say about it."""
        return self._special

    @property
    def for_targets(self) -> Tokenizer:
        """The tokenizer of what the decoder of an encoder-decoder writes, of the same tokens and ids; most: itself.

        Marian's two languages are cut by a model each.
        """
        return self._targets or self

    def __repr__(self) -> str:
        return f"Tokenizer(vocab_size={self.vocab_size}, roles={self.roles}, fingerprint={self.fingerprint[:12]})"

    def __reduce__(self) -> tuple[object, ...]:
        # The library's own pickling forgets that special tokens in a text are text.
        return Tokenizer, (self.definition, self._special, None if self._targets is None else self._targets.definition)

    # --------------------------------------------------------------------------------------------------------- encoding

    def encode(self, text: str) -> np.ndarray:
        """Ids of `text`, (n,) int64.

        Adds no special token, and text that looks like a special token stays text. Raises DataError where a character
        has no id and there is no unknown token to stand for it.
        """
        with self._checking([text]):
            return self._encoder.encode_one(text)

    def encode_batch(self, texts: Sequence[str]) -> list[np.ndarray]:
        """`encode` of each text, on all cores: hand over many texts at once."""
        flat = self.encode_flat(texts)
        stops = np.cumsum(flat.lengths).tolist()
        return [flat.ids[start:stop] for start, stop in zip([0, *stops], stops, strict=False)]

    def encode_flat(self, texts: Sequence[str], sentence_starts: Sequence[Sequence[int]] | None = None) -> FlatIds:
        """`encode_batch` with all ids in one array, and where each sentence went.

        Args:
            texts: the texts.
            sentence_starts: for each text the character offsets at which its sentences start, ascending; None: none.
        """
        with self._checking(texts):
            return self._encoder.encode(texts, sentence_starts)

    def prompt(self, text: str) -> np.ndarray:
        """As `encode`, but special tokens written out in the text ([MASK], <extra_id_0>) become their ids."""
        return ids_of(self._prompted(text))

    def framed(self, text: str, pair: str | None = None) -> np.ndarray:
        """As `prompt`, with the special tokens around it that the tokenizer's own file asks for (input_ids).

        Args:
            text: the text.
            pair: a second one, where the file knows how to frame two ([CLS] text [SEP] pair [SEP]).
        """
        return ids_of(self._prompted(text, framed=True, pair=pair))

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Of each token of `prompt(text)` the characters that it is of: (first, last + 1), offsets in the text.

        Tokens that are parts of one character, or come of it by normalization, have it all, each.
        """
        spans: list[tuple[int, int]] = self._prompted(text).offsets
        return spans

    def _prompted(self, text: str, framed: bool = False, pair: str | None = None) -> tokenizers.Encoding:
        check_text(text + (pair or ""))
        if self._alphabet is not None:
            rest = text + (pair or "")
            for token in [*self._special.front, *self._special.sentinels]:
                rest = rest.replace(token, "")
            self._check_characters(rest)
        with guarded("encode the text", DataError):
            library = self._framing if framed else self._prompting
            return library.encode(text, pair, add_special_tokens=framed)

    @functools.cached_property
    def _framing(self) -> tokenizers.Tokenizer:
        return opened(self.definition)

    @functools.cached_property
    def _prompting(self) -> tokenizers.Tokenizer:
        library = opened(self.definition)
        library.post_processor = None  # it may cut spaces off the offsets
        return library

    @contextlib.contextmanager
    def _checking(self, texts: Sequence[str]) -> Iterator[None]:
        """What is wrong with these texts is said; some of it is looked for only where they cannot be encoded."""
        for text in texts:
            self._check_characters(text)
        try:
            yield
        except DataError:
            for text in texts:
                check_text(text)
            raise

    def _check_characters(self, text: str) -> None:
        """Raises DataError where a character has no id at all and must be refused."""
        if self._alphabet is None:
            return
        normalizer = self._library.normalizer
        strangers = sorted(set(normalizer.normalize_str(text) if normalizer else text) - self._alphabet)
        if strangers:
            raise DataError(
                f"the tokenizer has no id for the character {strangers[0]!r} (U+{ord(strangers[0]):04X}): it did not "
                "occur in the text that it was trained on, and its special tokens have none for the unknown; "
                "leave it out, or train with tokenizer.special_tokens bert or t5, or tokenizer.kind byte_level_bpe or "
                "bytes"
            )

    # --------------------------------------------------------------------------------------------------------- decoding

    def decode(self, ids: Iterable[int], skip_special: bool = True) -> str:
        """The text of `ids`, special tokens left out unless `skip_special` is False. Raises DataError on a bad id."""
        numbers = [int(id) for id in ids]
        for id in numbers:
            self._check_id(id)
        if skip_special:  # the library knows of those that its file marks, and not that another plays a role
            numbers = [id for id in numbers if id not in self._silent]
        if not numbers:  # some of the library's decoders break on it
            return ""
        with guarded("decode", DataError):
            text: str = self._library.decode(numbers, skip_special_tokens=skip_special)
        return text

    def token(self, id: int) -> str:
        """The spelling of the token `id` in the vocabulary. Raises DataError on a bad id."""
        self._check_id(int(id))
        token: str | None = self._library.id_to_token(int(id))
        return "" if token is None else token  # foreign vocabularies may have holes

    @property
    def decoder(self) -> object:
        """The library's decoder, which says how the spelling of tokens becomes text; None: by itself."""
        return self._library.decoder

    @functools.cached_property
    def is_byte_level(self) -> bool:
        """Whether each character of a token's spelling stands for a byte (GPT-2)."""
        return self._joined("Ã", "©") == "é"

    def _joined(self, *tokens: str) -> str:
        if self._library.decoder is None:
            return ""
        with guarded("decode", DataError):
            text: str = self._library.decoder.decode(list(tokens))
        return text

    @functools.cached_property
    def byte_values(self) -> Mapping[int, int]:
        """Id → byte, of the tokens that are one byte each (<0xE3>) and become characters in runs; {}: it has none.

        Of a run of them that is no valid UTF-8 as a whole, each becomes "�" (byte fallback).
        """
        if "é" not in self._joined("<0xC3>", "<0xA9>"):
            return {}
        vocabulary = self._library.get_vocab(with_added_tokens=True)
        found = {id: _BYTE_TOKEN.fullmatch(token) for token, id in vocabulary.items() if id not in self._silent}
        return {id: int(match[1], 16) for id, match in found.items() if match is not None}

    def role(self, name: str) -> int:
        """The id of the token that plays the role `name`; DataError where this tokenizer has none."""
        if name in self.roles:
            return self.roles[name]
        if name not in ROLES:
            raise DataError(f"{name!r} is no role of a special token (roles: {', '.join(ROLES)})")
        families = " or ".join(families_with(name)) or "no family"
        raise DataError(
            f"this tokenizer has no token for the role {name!r} (it has: {', '.join(self.roles) or 'none'}); "
            f"tokenizer.special_tokens {families} has one"
        )

    @functools.cached_property
    def frame(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The ids that its file has put before and after a text (foreign ones do); ours leave it to the objective."""
        if self._library.post_processor is None:
            return (), ()
        with guarded("encode the text", DataError):
            encoding = opened(self.definition).encode("a", add_special_tokens=True)
        added = [bool(one) for one in encoding.special_tokens_mask]
        first = added.index(False) if False in added else len(added)
        last = len(added) - added[::-1].index(False) if False in added else len(added)
        return tuple(encoding.ids[:first]), tuple(encoding.ids[last:])

    def _check_id(self, id: int) -> None:
        if not 0 <= id < self.vocab_size:
            raise DataError(f"id {id} is not in the vocabulary (0 … {self.vocab_size - 1})")

    def with_tokens(self, tokens: Sequence[str]) -> Tokenizer:
        """This tokenizer with new tokens that take the next ids and are found wherever they are spelt in a text.

        Raises:
            ConfigError: a token is empty, said twice, or in the vocabulary already.
        """
        known = self._library.get_vocab(with_added_tokens=True)
        for index, token in enumerate(tokens):
            if not token or token in tokens[:index] or token in known:
                why = "is empty" if not token else "is in the vocabulary already" if token in known else "is said twice"
                raise ConfigError(f"{token!r} {why}; take it out", "tokenizer.add_tokens")
        with guarded("add tokens", DataError):
            library = tokenizers.Tokenizer.from_str(self.definition)
            library.add_tokens([tokenizers.AddedToken(token, normalized=False, special=False) for token in tokens])
        targets = None if self._targets is None else self._targets.with_tokens(tokens).definition
        # A text must not be cut in the midst of one, and they may hold spaces.
        return Tokenizer(library.to_str(pretty=True), self._special._replace(boundaries="none"), targets)

    # ----------------------------------------------------------------------------------------------------------- saving

    def save(self, folder: str | Path) -> None:
        """Writes tokenizer.json and special_tokens.json into `folder`, which is made where it is missing.

        Beside them target_tokenizer.json, where `for_targets` is another.

        Raises DataError where it cannot be written.
        """
        try:
            self.write(Path(folder))
        except OSError as error:
            raise DataError(f"cannot save the tokenizer in {folder}: {error}") from error

    def write(self, folder: Path) -> None:
        """`save` as part of something larger, that says itself what cannot be written; raises OSError."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / LIBRARY_FILE_NAME).write_bytes(self.definition.encode())
        (folder / FILE_NAME).write_bytes(f"{self._special.to_json()}\n".encode())
        if self._targets is not None:
            (folder / TARGETS_FILE_NAME).write_bytes(self._targets.definition.encode())

    @classmethod
    def load(cls, folder: str | Path) -> Tokenizer:
        """The tokenizer saved in `folder`: one of ours, or a foreign folder that holds a tokenizer.json.

        Raises DataError where the folder or a file is missing or damaged.
        """
        path = Path(folder).expanduser() / LIBRARY_FILE_NAME
        if not path.is_file():
            raise DataError(f"no tokenizer in {folder}: it has no {LIBRARY_FILE_NAME}")
        definition, content = _read(path)
        if not (path.parent / FILE_NAME).is_file():
            definition, known = settled(definition, content, path.parent)
            special = read_special_tokens(path.parent, known)
            try:
                return cls(definition, special)
            except DataError as error:
                raise DataError(f"{path}: {error}") from None
        with guarded(f"read the tokenizer {path}", DataError):
            known = tokenizers.Tokenizer.from_str(definition).get_vocab(with_added_tokens=True)
        beside = path.with_name(TARGETS_FILE_NAME)
        targets = _read(beside)[0] if beside.is_file() else None
        return cls(definition, read_special_tokens(path.parent, known), targets)


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    """The text of a tokenizer.json, and its content; DataError where it cannot be read."""
    try:
        definition = read_bytes(path).decode()
        content = json.loads(definition)
        if not isinstance(content, dict):
            raise ValueError("it must hold a JSON object")
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"cannot read the tokenizer {path}: {error}") from None
    return definition, content
