"""What the files beside a tokenizer.json say of it, applied as transformers does: settings of its class, added tokens.

    tokenizer_config.json       do_lower_case, strip_accents, tokenize_chinese_chars, add_prefix_space, keep_accents,
                                legacy; added_tokens_decoder, additional_special_tokens, extra_special_tokens and the
                                special tokens by name
    special_tokens_map.json     special tokens by name, and how they are found in a text
    added_tokens.json           token → id

The last two count only where the first has no added_tokens_decoder. What is said here and can not be done is refused by
its name. Older files have their tokens added in the same order, so that new ones get the same ids.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import tokenizers
from tokenizers import AddedToken, processors

from zoo.errors import DataError, quoted
from zoo.tokenizer.classes import GENERIC, LLAMA, TokenizerClass, class_of
from zoo.tokenizer.library import guarded
from zoo.tokenizer.pipelines import Settings
from zoo.tokenizer.special_files import NAMES, read_object, said_tokens
from zoo.tokenizer.special_tokens import FOREIGN_CONFIG, NUM_SENTINELS, spelling

ADDED_NAME = "added_tokens.json"
FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")
REFUSED = {
    "split_special_tokens": "special tokens that a text spells out are found in it here",
    "fix_mistral_regex": "the cuts are those of tokenizer.json here; mend them there",
}
"""Settings of tokenizer_config.json that change the ids where they are true, and what stands against them."""


class Settled(NamedTuple):
    """A tokenizer.json with all that is said beside it.

    Attributes:
        definition: its text. vocabulary: token → id, added tokens included.
    """

    definition: str
    vocabulary: Mapping[str, int]


def settled(definition: str, content: dict[str, Any], folder: Path) -> Settled:
    """The tokenizer that transformers makes of a tokenizer.json and the files beside it.

    Args:
        definition: the text of tokenizer.json. content: what it says. folder: where it lies.

    Raises:
        DataError: a file is damaged, says what does not open here, or gives an added token another id than its own.
    """
    config = read_object(folder / FOREIGN_CONFIG)
    refuse_settings(config, folder)
    kind = class_of(config, read_object(folder / "config.json"))
    if kind is LLAMA and '"ByteLevel"' in definition:
        kind = GENERIC  # Llama 3's, which transformers tells from Llama 2's by this
    changed, listed = rebuilt(content, kind, config), _listed(content)
    vocabulary = _vocabulary(content)
    anew = changed.get("added_tokens") != content.get("added_tokens")
    wanted = wanted_tokens(folder, kind, {**vocabulary, **_ids(listed)}, listed, () if anew else _ids(listed))
    with guarded(f"read the tokenizer {folder / 'tokenizer.json'}", DataError):
        if _has(listed, wanted.tokens, vocabulary, anew):  # nothing to add: no need to make it for that
            vocabulary |= _ids(listed)
            changed["added_tokens"] = content.get("added_tokens")
        else:
            library = tokenizers.Tokenizer.from_str(json.dumps(changed, ensure_ascii=False))
            add_tokens(library, folder, wanted)
            changed["added_tokens"] = _written(library)
            vocabulary = library.get_vocab(with_added_tokens=True)
        if (frame := _frame(vocabulary, kind, config)) is not None:
            changed["post_processor"] = json.loads(frame.__getstate__())
    # Not as the library writes it, which does not always read back the very float that it wrote.
    same = changed == {"added_tokens": None, **content}
    return Settled(definition if same else json.dumps(changed, ensure_ascii=False), vocabulary)


def refuse_settings(config: Settings, folder: Path) -> None:
    """Raises DataError where tokenizer_config.json asks for what nothing here does and would change the ids."""
    for name, reason in REFUSED.items():
        if config.get(name):
            said = f"{folder / FOREIGN_CONFIG}: {name} is {quoted(config[name])}"
            raise DataError(f"{said}, which does not open: {reason}; take it out where its effect is not wanted")


# ------------------------------------------------------------------------------------------------------------- pipeline


def rebuilt(content: dict[str, Any], kind: TokenizerClass, config: Settings) -> dict[str, Any]:
    """The content of a tokenizer.json with the parts that its class makes by itself, and no added token then.

    Args:
        content: of tokenizer.json. kind: the class. config: the content of tokenizer_config.json.

    A file whose model is of another kind than the class has was made for another one: it stays as it is.
    """
    model = content.get("model")
    if kind.pipeline is None or not isinstance(model, dict):
        return dict(content)
    parts = kind.pipeline(config, _charsmap(content.get("normalizer")))
    if model.get("type") not in (None, parts.model):
        return dict(content)
    pieces = {"normalizer": parts.normalizer, "pre_tokenizer": parts.pre_tokenizer, "decoder": parts.decoder}
    written = {name: part and json.loads(part.__getstate__()) for name, part in pieces.items()}
    # What is the same in effect stays as it is written: null, false and "" all mean that there is none.
    options = {name: value for name, value in parts.options.items() if (model.get(name) or None) != (value or None)}
    return {**content, **written, "model": {**model, "type": parts.model, **options}, "added_tokens": []}


def put_pipeline(library: tokenizers.Tokenizer, kind: TokenizerClass, config: Settings) -> None:
    """Gives the tokenizer of an older file the parts that its class puts around the vocabulary, where it has some."""
    if kind.pipeline is not None:
        written = library.normalizer and json.loads(library.normalizer.__getstate__())
        parts = kind.pipeline(config, _charsmap(written))
        library.normalizer, library.pre_tokenizer = parts.normalizer, parts.pre_tokenizer
        library.decoder = parts.decoder


def _charsmap(normalizer: Any) -> bytes | None:
    """The table of characters of a SentencePiece model, where a normalizer of a tokenizer.json holds it."""
    steps = normalizer.get("normalizers", [normalizer]) if isinstance(normalizer, dict) else []
    for step in steps if isinstance(steps, list) else []:
        if isinstance(step, dict) and step.get("type") == "Precompiled":
            return base64.b64decode(step.get("precompiled_charsmap") or "")
    return None


def _frame(known: Mapping[str, int], kind: TokenizerClass, config: Settings) -> processors.PostProcessor | None:
    """The special tokens around a text, of the classes that do not take those of tokenizer.json; None: they do."""
    if kind.put_around is None:
        return None
    names = {role: name for name, role in NAMES.items()}
    tokens = {}
    for role in (role for part in kind.frame.parts for role in part):
        tokens[role] = spelling(config.get(names[role])) or kind.tokens[role]
        if tokens[role] not in known:
            said = f"the {names[role]} of a {kind.names[0]} tokenizer is {tokens[role]!r}"
            raise DataError(f"{said}, which its vocabulary lacks")
    return kind.put_around(kind.frame.spelt(tokens), known, config)


# --------------------------------------------------------------------------------------------------------- added tokens


class Wanted(NamedTuple):
    """The tokens that the files of a folder ask for.

    Attributes:
        tokens: in the order in which they get ids, those that a tokenizer has already among them.
        stated: id → token, of those whose id a file says.
    """

    tokens: list[AddedToken]
    stated: Mapping[int, AddedToken]


def wanted_tokens(
    folder: Path,
    kind: TokenizerClass,
    known: Mapping[str, int],
    listed: Mapping[int, AddedToken] | None = None,
    held: Collection[str] = (),
) -> Wanted:
    """The tokens that the files of a folder ask for, in transformers' order.

    Args:
        folder: of the files. kind: its class. known: its vocabulary, token → id.
        listed: the added tokens of its tokenizer.json. held: added tokens that need no further word to stay.

    Raises:
        DataError: a file is damaged.
    """
    said = said_tokens(folder)
    stated: dict[int, AddedToken] = {}
    if "added_tokens_decoder" in said:
        for number, token in _object(said["added_tokens_decoder"], "added_tokens_decoder", folder).items():
            stated[_number(number, folder)] = _token(token, "added_tokens_decoder", folder)
    else:
        spelt = {*_spellings(said, NAMES), *map(spelling, extra_tokens(said, kind))}
        for content, id in read_object(folder / ADDED_NAME).items():
            is_special = content in spelt
            stated[_number(id, folder)] = AddedToken(content, normalized=not is_special, special=is_special)
        stated |= listed or {}
    taken = {name: kind.tokens.get(role, "") for name, role in NAMES.items()}
    given = {name: token for name, token in taken.items() if token in known}
    given |= {name: said[name] for name in NAMES if said.get(name) is not None}
    named = {name: given[name] for name in NAMES if name in given} | own_names(said)  # new ones get ids in this order
    special = [
        _token(one, "special tokens", folder, special=True) for one in [*named.values(), *extra_tokens(said, kind)]
    ]
    names = {token.content for token in special[: len(named)]}
    tokens = {token.content: token for _, token in sorted(stated.items())}
    for token in tokens.values():
        token.special = token.special or token.content in names
    for token in special:
        if token.content not in held:
            tokens.setdefault(token.content, token)
    if kind.finds_anywhere:
        tokens |= {token.content: AddedToken(token.content, special=True) for token in special}
    return Wanted([*tokens.values()], stated)


def add_tokens(library: tokenizers.Tokenizer, folder: Path, wanted: Wanted) -> None:
    """Adds tokens to a tokenizer, in place; DataError where one would get another id than a file says."""
    library.add_tokens(wanted.tokens)
    for id, token in sorted(wanted.stated.items()):
        if library.token_to_id(token.content) != id:
            raise DataError(
                f"{folder}: the added token {token.content!r} has the id {id} there, but "
                f"{library.token_to_id(token.content)} would be its own: the vocabulary is not the one that it was "
                "added to"
            )


def _has(listed: Mapping[int, AddedToken], tokens: list[AddedToken], vocabulary: Mapping[str, int], anew: bool) -> bool:
    """Whether a tokenizer.json already has the tokens, each with its flags and with the id that it would be given.

    Args:
        listed: its added tokens. tokens: those that are asked for. vocabulary: of its model.
        anew: whether they are given their ids anew, in the order of `tokens`, and no others stay.
    """
    ids, flags = _ids(listed), {token.content: _flags(token) for token in listed.values()}
    if any(flags.get(token.content) != _flags(token) for token in tokens):
        return False
    given = [token.content for token in tokens if token.content not in vocabulary]
    fits = all(ids[content] == vocabulary.get(content, ids[content]) for content in ids)
    if not anew:
        return fits
    return fits and len(tokens) == len(listed) and [ids[one] for one in given] == [*_next(vocabulary, len(given))]


def _next(vocabulary: Mapping[str, int], number: int) -> range:
    return range(len(vocabulary), len(vocabulary) + number)


def _ids(listed: Mapping[int, AddedToken]) -> dict[str, int]:
    return {token.content: id for id, token in listed.items()}


def _flags(token: AddedToken) -> tuple[bool, ...]:
    return tuple(getattr(token, flag) for flag in FLAGS)


def _vocabulary(content: Mapping[str, Any]) -> dict[str, int]:
    """The vocabulary of the model of a tokenizer.json: token → id; {} where it is in another form."""
    model = content.get("model")
    entries = model.get("vocab") if isinstance(model, dict) else None
    if isinstance(entries, dict):
        return dict(entries)
    pieces = entries if isinstance(entries, list) else []
    return {piece[0]: id for id, piece in enumerate(pieces) if isinstance(piece, list) and piece}


def extra_tokens(said: Settings, kind: TokenizerClass) -> list[Any]:
    """Further special tokens, without a name; T5's sentinels where nothing else is said."""
    extras = said.get("extra_special_tokens")
    if extras is None or isinstance(extras, Mapping):
        extras = said.get("additional_special_tokens")
        if kind.has_sentinels and extras is None:
            number = said.get("extra_ids", NUM_SENTINELS)
            return [f"<extra_id_{one}>" for one in range(number if type(number) is int else 0)]
    return list(extras) if isinstance(extras, list) else []


def own_names(said: Settings) -> dict[str, Any]:
    """Special tokens under names of the model's own: image_token, or a mapping of them."""
    extras = said.get("extra_special_tokens")
    own = {name: said[name] for name in said if name.endswith("_token") and name not in NAMES}
    own = {name: token for name, token in own.items() if spelling(token) is not None}
    return own | (dict(extras) if isinstance(extras, Mapping) else {})


def _spellings(said: Settings, names: Iterable[str]) -> set[str]:
    return {spelt for name in names if (spelt := spelling(said.get(name))) is not None}


def _listed(content: Mapping[str, Any]) -> dict[int, AddedToken]:
    """The added tokens of a tokenizer.json: id → token."""
    listed = content.get("added_tokens") or []
    return {
        one["id"]: AddedToken(one["content"], **{flag: bool(one[flag]) for flag in FLAGS if flag in one})
        for one in listed
        if isinstance(one, dict) and type(one.get("id")) is int and isinstance(one.get("content"), str)
    }


def _written(library: tokenizers.Tokenizer) -> list[dict[str, Any]]:
    """Its added tokens as tokenizer.json has them."""
    return [
        {"id": id, "content": token.content, **{flag: getattr(token, flag) for flag in FLAGS}}
        for id, token in sorted(library.get_added_tokens_decoder().items())
    ]


def _token(said: Any, what: str, folder: Path, special: bool = False) -> AddedToken:
    """A token as one of the files has it: a text, or its content and how it is found in a text."""
    content = spelling(said)
    if not content:
        raise DataError(f"{folder}: {what} must be texts or objects with a content, not {quoted(said)}")
    flags = {flag: said[flag] is True for flag in FLAGS if flag in said} if isinstance(said, Mapping) else {}
    return AddedToken(content, **({**flags, "special": True} if special else flags))


def _number(id: Any, folder: Path) -> int:
    if type(id) is not int and not (isinstance(id, str) and id.isdecimal()):
        raise DataError(f"{folder}: the id of an added token must be a whole number, not {quoted(id)}")
    return int(id)


def _object(said: Any, name: str, folder: Path) -> Mapping[str, Any]:
    if not isinstance(said, Mapping):
        raise DataError(f"{folder / FOREIGN_CONFIG}: {name} must be an object, id → token, not {quoted(said)}")
    return said
