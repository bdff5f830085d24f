"""Tokenizers that others made: which files hold them, and how each becomes a tokenizer.json.

    tokenizer.json              the `tokenizers` library's own file, under this or another name; of a run: in tokenizer/
    vocab.json + merges.txt     byte-level pairs (Radford et al. 2019, GPT-2)
    vocab.txt                   BERT's vocabulary, a token a line (Devlin et al. 2018)
    *.model                     SentencePiece, unigram or BPE (Kudo & Richardson 2018, arXiv:1808.06226), or tiktoken's
                                list of tokens (Llama 3)
    source.spm + vocab.json     Marian's, with target.spm for what the decoder writes (marian.py)

What the older files leave open (lower-casing, the roles of special tokens, what stands around a text, T5's sentinels,
tokens that were added later) is read from the JSON files beside them, as Hugging Face writes them (beside.py). Where
those are silent, what transformers' class takes for granted decides (classes.py, pipelines.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken, models

from zoo.errors import DataError, quoted
from zoo.tokenizer.beside import ADDED_NAME, add_tokens, put_pipeline, refuse_settings, wanted_tokens
from zoo.tokenizer.classes import (
    BERT,
    GENERIC,
    GPT2,
    LLAMA,
    MARIAN,
    TOKENIZER_CLASSES,
    XLM_ROBERTA,
    TokenizerClass,
    class_of,
    older_class,
    older_name_of,
    stem_of,
)
from zoo.tokenizer.framing import BEGINNING, put_frame
from zoo.tokenizer.library import guarded
from zoo.tokenizer.links import followed, read_bytes
from zoo.tokenizer.marian import SOURCE_NAME, TARGET_NAME, VOCABULARY_NAME, read_marian
from zoo.tokenizer.pipelines import word_pieces
from zoo.tokenizer.sentencepiece import SHIFTED_OTHERWISE, hide, read_sentencepiece, shifted
from zoo.tokenizer.special_files import MAP_NAME, named_tokens, read_object, read_special_tokens
from zoo.tokenizer.special_tokens import FOREIGN_CONFIG, NUM_SENTINELS, SpecialTokens
from zoo.tokenizer.tiktoken import ROLES, is_tiktoken, read_tiktoken
from zoo.tokenizer.tokenizer import LIBRARY_FILE_NAME, Tokenizer


def open_tokenizer(path: str | Path) -> Tokenizer:
    """A tokenizer in any of the known formats; only data is read.

    Args:
        path: a folder that holds one (with several formats in it: the first of the list above), or the file itself.

    Raises:
        DataError: there is none, or it is damaged.
    """
    place = Path(path).expanduser()
    if place.is_dir():
        found = find_tokenizer(place)
        if found is not None:
            return found
        raise DataError(f"no tokenizer in {path}: it has none of {', '.join(FORMATS)}")
    if not place.is_file():
        raise DataError(f"no tokenizer at {path}: there is no such file or folder (looked from {Path.cwd()})")
    for pattern, opened in {**FORMATS, "merges.txt": _from_pairs, "*.json": _from_library_file}.items():
        if place.match(pattern):
            return opened(place)
    raise DataError(f"{path} is no tokenizer known here; known are {', '.join(FORMATS)}")


def find_tokenizer(folder: Path) -> Tokenizer | None:
    """The tokenizer in a folder; None where no file of it is one. Raises DataError where it is damaged."""
    for pattern, opened in FORMATS.items():
        for file in sorted(folder.glob(pattern)):
            followed(folder, file.relative_to(folder).as_posix())
            return opened(file)
    named = _config(folder).get("tokenizer_class") or _model_config(folder).get("tokenizer_class")
    if stem_of(named) in CODE_ALONE:
        raise DataError(
            f"{folder}: the tokenizer {named} is Python code of transformers without a file of its own, which does not "
            "open here; the model needs one that is in files"
        )
    return None


def _from_folder(file: Path) -> Tokenizer:
    return Tokenizer.load(file.parent)


def _from_library_file(file: Path) -> Tokenizer:
    """A tokenizer.json of another name."""
    with guarded(f"read the tokenizer {file}", DataError):
        library = tokenizers.Tokenizer.from_str(_text(file))
    return _finished(library, file)


def _from_pairs(file: Path) -> Tokenizer:
    """GPT-2's two files; `file` is one of them."""
    vocabulary_file, merges_file = file.with_name("vocab.json"), file.with_name("merges.txt")
    for needed in (vocabulary_file, merges_file):
        if not needed.is_file():
            raise DataError(f"{file} needs {needed.name} beside it: the pairs and the vocabulary make one tokenizer")
    vocabulary = _json(vocabulary_file)
    lines = [line for line in _text(merges_file).split("\n") if line and not line.startswith("#version")]
    merges = []
    for number, line in enumerate(lines, start=1):
        one, space, other = line.partition(" ")
        if not space or not one or not other or " " in other:
            raise DataError(f"{merges_file}: pair {number} must be two pieces with a space between, not {line!r:.60}")
        merges.append((one, other))
    with guarded(f"read the tokenizer {vocabulary_file}", DataError):
        library = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    put_pipeline(library, _class_of_pairs(file), _config(file.parent))
    return _finished(library, file)


def _class_of_pairs(file: Path) -> TokenizerClass:
    """The class that says what stands around byte-level pairs, since their two files do not."""
    config, model_config = _config(file.parent), _model_config(file.parent)
    kind = class_of(config, model_config)
    named = config.get("tokenizer_class") or model_config.get("tokenizer_class") or model_config.get("model_type")
    if kind is GENERIC and named is None:
        kind = GPT2  # the two files alone are GPT-2's
    if not kind.is_byte_level:
        known = [name for name, one in TOKENIZER_CLASSES.items() if one.is_byte_level]
        raise DataError(
            f"{file.parent}: vocab.json and merges.txt do not say how a text is cut before its pairs are joined, and "
            f"{quoted(named)} is none of the tokenizers where that is known ({', '.join(known)}); fetch its "
            "tokenizer.json, which says it"
        )
    return kind


def _from_vocabulary(file: Path) -> Tokenizer:
    """BERT's list of tokens; a line's number is its id."""
    lines = _text(file).removesuffix("\n").split("\n")
    vocabulary = {token.removesuffix("\r"): id for id, token in enumerate(lines)}
    if len(vocabulary) != len(lines):
        raise DataError(f"{file} has a token twice: {len(lines)} lines, {len(vocabulary)} different ones")
    config = _config(file.parent)
    settings = {**config, "do_lower_case": _lowercases(config, vocabulary)}
    options = word_pieces(settings, None).options
    unknown = options["unk_token"]
    if unknown not in vocabulary:
        raise DataError(f"{file} has no {unknown}, which a vocabulary of word pieces needs: it is no BERT vocabulary")
    with guarded(f"read the tokenizer {file}", DataError):
        library = tokenizers.Tokenizer(models.WordPiece(vocabulary, **options))
    put_pipeline(library, BERT, settings)
    return _finished(library, file)


def _lowercases(config: dict[str, Any], vocabulary: dict[str, int]) -> bool:
    """What tokenizer_config.json says; where it does not, whether no token has a capital letter outside [brackets]."""
    said = config.get("do_lower_case")
    if said is not None:
        return bool(said)
    words = [token for token in vocabulary if not (token.startswith("[") and token.endswith("]"))]
    return all(word == word.lower() for word in words)


def _from_model(file: Path) -> Tokenizer:
    """One of the two formats whose files are called tokenizer.model."""
    if not is_tiktoken(file):
        return _from_sentencepiece(file)
    library, special = read_tiktoken(file), SpecialTokens(ROLES)
    put_frame(library, BEGINNING, special)
    return Tokenizer(library.to_str(pretty=True), special)


def _from_sentencepiece(file: Path) -> Tokenizer:
    """A SentencePiece model, and T5's sentinels behind it where the folder asks for them."""
    named = named_tokens(file.parent)
    library = read_sentencepiece(file, named.get("unknown"))
    config, model_config = _config(file.parent), _model_config(file.parent)
    kind, name = class_of(config, model_config), older_name_of(config, model_config)
    older = _older_class(file.parent)
    if older.is_shifted or name in SHIFTED_OTHERWISE or file.name == "sentencepiece.bpe.model":
        if name and not older.is_shifted:
            raise DataError(
                f"the SentencePiece model of {name} has other ids than its tokenizer; open the folder with "
                "transformers and save its tokenizer.json: "
                "AutoTokenizer.from_pretrained(folder).save_pretrained(folder)"
            )
        library = shifted(library, {**XLM_ROBERTA.tokens, **named})
    sentinels = config.get("extra_ids", NUM_SENTINELS) if older.has_sentinels else 0
    known = library.get_vocab(with_added_tokens=True)
    # T5's files count down: <extra_id_0> is the very last entry.
    names = [f"<extra_id_{number}>" for number in reversed(range(sentinels))]
    library.add_special_tokens(
        [AddedToken(name, special=True, lstrip=kind is GENERIC) for name in names if name not in known]
    )
    if kind.pipeline and kind.pipeline(config, None).model == type(library.model).__name__:
        put_pipeline(library, kind, config)
    return _finished(library, file)


def _from_marian(file: Path) -> Tokenizer:
    """Marian's files; `file` is source.spm. Without a target.spm, both languages are cut by that."""
    vocabulary_file, target_file = file.with_name(VOCABULARY_NAME), file.with_name(TARGET_NAME)
    if not vocabulary_file.is_file() or file.with_name("target_vocab.json").is_file():
        raise DataError(f"{file} needs vocab.json beside it, and both languages in it (no target_vocab.json)")
    ids, controls = _json(vocabulary_file), [*MARIAN.tokens.values()]
    definition, special = _completed(read_marian(file, ids), file, controls)
    if not target_file.is_file():
        return Tokenizer(definition, special)
    targets, _ = _completed(read_marian(target_file, ids), target_file, controls)
    return Tokenizer(definition, special, None if targets == definition else targets)


CODE_ALONE = ("byt5", "canine", "perceiver")
"""The classes of transformers that make ids of bytes or characters and keep no vocabulary in a file."""
FORMATS: dict[str, Callable[[Path], Tokenizer]] = {
    LIBRARY_FILE_NAME: _from_folder,
    f"tokenizer/{LIBRARY_FILE_NAME}": _from_folder,
    SOURCE_NAME: _from_marian,
    "vocab.json": _from_pairs,
    "vocab.txt": _from_vocabulary,
    "*.model": _from_model,
}
"""File name → what opens a tokenizer that begins with that file."""


BESIDE = (FOREIGN_CONFIG, MAP_NAME, ADDED_NAME)
"""Files that add tokens to what another holds."""


def tokenizer_files(folder: Path) -> tuple[list[str], list[str]]:
    """The files in a folder that each make a tokenizer or a part of one, the one that is read first, and those beside.

    Without the first there is no tokenizer; those beside say what is added to it.
    """
    patterns = (*FORMATS, TARGET_NAME, "merges.txt")
    found = [str(file.relative_to(folder)) for pattern in patterns for file in sorted(folder.glob(pattern))]
    return found, [name for name in BESIDE if (folder / name).is_file()]


def _finished(library: tokenizers.Tokenizer, file: Path) -> Tokenizer:
    """The tokenizer of an older file, with what the folder says about it; `file` is where the library's is from."""
    return Tokenizer(*_completed(library, file))


def _completed(library: tokenizers.Tokenizer, file: Path, controls: Iterable[str] = ()) -> tuple[str, SpecialTokens]:
    """The text of a tokenizer.json and what it does not say, with what the folder of an older file says about it.

    Args:
        library: what the file holds. file: it.
        controls: pieces that no text is cut into; they are found in it where they are special tokens, and else not.
    """
    folder = file.parent
    config = _config(folder)
    refuse_settings(config, folder)
    held = {token.content for token in library.get_added_tokens_decoder().values()}
    known = library.get_vocab(with_added_tokens=True)
    add_tokens(library, folder, wanted_tokens(folder, class_of(config, _model_config(folder)), known, held=held))
    special = read_special_tokens(folder, library.get_vocab(with_added_tokens=True), older=True)
    found = {token.content for token in library.get_added_tokens_decoder().values()}
    rest = [token for token in special.front if token not in found]
    library.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in rest])
    if unfound := [token for token in controls if token in known and token not in (*found, *rest)]:
        hide(library, unfound)
    put_frame(library, _older_class(folder).frame.said(config), special)
    return library.to_str(pretty=True), special


def _config(folder: Path) -> dict[str, Any]:
    return read_object(folder / FOREIGN_CONFIG)


def _model_config(folder: Path) -> dict[str, Any]:
    return read_object(folder / "config.json")


def _older_class(folder: Path) -> TokenizerClass:
    name = older_name_of(_config(folder), _model_config(folder))
    return LLAMA if not name and (folder / "params.json").is_file() else older_class(name)  # Meta's own folders


def _text(file: Path) -> str:
    try:
        return read_bytes(file).decode()
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read the tokenizer file {file}: {error}") from None


def _json(file: Path) -> dict[str, Any]:
    """A vocabulary: token → id."""
    try:
        content = json.loads(_text(file))
    except (ValueError, RecursionError) as error:
        raise DataError(f"cannot read the tokenizer file {file}: {error}") from None
    if not isinstance(content, dict):
        raise DataError(f"{file} must hold a JSON object, not {type(content).__name__}")
    return content
