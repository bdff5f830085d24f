"""A data set of the Hugging Face hub, or a folder laid out like one, read as a stream by the `datasets` library.

The network is asked because a name of the hub stands in the config, and for nothing else; what was fetched before is
found again with HF_HUB_OFFLINE=1. A folder never asks it: its card may not name files elsewhere, and no file of it may
be a link that leads out. Scripts of data sets are not executed, which `datasets` cannot do any more since version 4.

The stream fills the token store once, shard by shard, and training begins when the store is whole: so which rows a step
trains on and where a stopped run goes on depends on nothing that comes over the network. A build that was stopped goes
on behind its last finished shard; the rows before it are streamed again but not tokenized (zoo.data.store).

What the fingerprint vouches for: of a hub data set the commit that the revision stands for, which git ties to the
content of every file; of a folder the bytes of the files of the split.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from zoo.config import setting
from zoo.data.columns import COLUMN, INSTALL, check_column, column_texts, row_name
from zoo.data.files import content_fingerprint, whole
from zoo.data.parquet import BATCH_ROWS
from zoo.data.sources import SourceConfig, fingerprint_of
from zoo.errors import ConfigError, DataError
from zoo.registry import unknown_name
from zoo.tokenizer.library import guarded


@dataclasses.dataclass(frozen=True, kw_only=True)
class HuggingFaceConfig(SourceConfig, kind="huggingface"):
    """A data set of the Hugging Face hub, or a folder of data files. A missing value is an empty document."""

    dataset: str = setting(doc="a name on the hub (owner/name), or a folder: a path that begins with / ./ ../ or ~")
    config: str | None = setting(None, "which of the data set's configurations (subsets); null: its default")
    split: str = setting("train", "which split")
    column: str = setting("text", COLUMN)
    revision: str | None = setting(
        None, "branch, tag or commit on the hub; null: its main branch as it is now (a commit stays what it is)"
    )
    max_documents: int | None = setting(None, "documents that are read, from the beginning; null: all", minimum=1)
    max_characters: int | None = setting(
        None, "reading ends with the document that brings the characters up to this number; null: at the end", minimum=1
    )

    def validate(self) -> None:
        """A name that the hub can have, or a path; a revision only with the former."""
        if self._is_folder:
            if self.revision is not None:
                raise ConfigError(
                    f"{self.revision!r} has no effect: {self.dataset} is a folder; leave it out", "revision"
                )
        elif not re.fullmatch(r"[\w][\w.-]*(/[\w][\w.-]*)?", self.dataset, re.ASCII):
            raise ConfigError(
                f"{self.dataset!r} is neither a name on the hub (owner/name) nor a path that begins with / ./ ../ or ~",
                "dataset",
            )
        for name in ("split", "column"):
            if not getattr(self, name):
                raise ConfigError(f"must name a {name}", name)

    def documents(self) -> Iterator[str]:
        """The values of the column in the order of the split, up to the limits."""
        documents = characters = 0
        for text in self._stream():
            yield text
            documents, characters = documents + 1, characters + len(text)
            if documents == self.max_documents or (
                self.max_characters is not None and characters >= self.max_characters
            ):
                return

    def fingerprint(self) -> str:
        """See `SourceConfig.fingerprint`."""
        builder = self._builder()
        if self._is_folder:
            content = content_fingerprint(_files_of(builder, self.split, Path(self.dataset).expanduser()))
        else:
            content = f"{self.dataset} {builder.hash}"
        settings = (builder.config.name, self.split, self.column, self.max_documents, self.max_characters)
        return fingerprint_of(self.kind, content, *settings)

    @property
    def _is_folder(self) -> bool:
        return self.dataset.startswith(("/", "./", "../", "~")) or self.dataset in (".", "..")

    def _builder(self) -> Any:
        """What `datasets` makes of the name: it knows the files of each split, and has opened none."""
        if self._is_folder:
            folder = Path(self.dataset).expanduser()
            if not folder.is_dir():
                raise DataError(f"no folder at {self.dataset} (looked from {Path.cwd()})")
            _check_cards(folder)
            return _opened(str(folder.resolve()), self.config, None)
        if Path(self.dataset).exists():  # `datasets` would take it, without a word
            raise DataError(
                f"{self.dataset!r} is a folder here as well as a name of the hub; write ./{self.dataset} for it"
            )
        return _opened_once(self.dataset, self.config, self.revision)

    def _stream(self) -> Iterator[str]:
        builder, row = self._builder(), 0
        if self._is_folder:
            _files_of(builder, self.split, Path(self.dataset).expanduser())
        _check_split(builder, self.split)
        where = f"{self.dataset}, split {self.split}"
        with guarded(f"read {where}", DataError):
            stream = builder.as_streaming_dataset(split=self.split).with_format("arrow")
            for batch in stream.iter(BATCH_ROWS):
                check_column(self.column, batch.column_names, f"{where}:")
                yield from column_texts(batch.column(self.column), functools.partial(row_name, where, row))
                row += batch.num_rows


def _opened(dataset: str, config: str | None, revision: str | None) -> Any:
    try:
        import datasets
    except ImportError:
        raise DataError(
            f"data sets of the hub are read by the datasets library, which is not installed: {INSTALL}"
        ) from None
    place = dataset if Path(dataset).is_absolute() else f"{dataset} of the hub (a folder would be ./{dataset})"
    with guarded(f"open the data set {place}", DataError):
        builder = datasets.load_dataset_builder(dataset, config, revision=revision)
    cached = type(builder).__module__.endswith(".cache.cache")
    if cached and revision not in (None, builder.hash):
        raise DataError(
            f"the hub cannot be reached, and what was fetched of {dataset} before is commit {builder.hash}, which may "
            f"not be revision {revision}; name that commit as the revision, or leave it out"
        )
    return builder


_opened_once = functools.cache(_opened)
"""A hub data set is resolved to a commit once in a process, so that all that is read of it is of one commit."""


def _check_split(builder: Any, split: str) -> None:
    """Raises DataError with the nearest name where the files are known by split, and none of this one."""
    known = builder.config.data_files
    if isinstance(known, dict) and split not in known and not re.search(r"[+\[]", split):
        raise DataError(unknown_name("split", split, map(str, known)))  # some are no plain texts


def _files_of(builder: Any, split: str, folder: Path) -> list[Path]:
    """The files of a split of a folder, sorted; DataError where one is not inside it."""
    _check_split(builder, split)
    known = builder.config.data_files or {}
    names = known.get(split) or [name for files in known.values() for name in files]
    files = sorted({Path(str(name).split("::")[-1]) for name in names})
    for file in files:
        if not file.resolve().is_relative_to(folder.resolve()):
            raise DataError(f"{file} is outside {folder}; a data set in a folder has all its files there")
    return files


def _check_cards(folder: Path) -> None:
    """Raises DataError where the card of a data set in a folder names files elsewhere: nothing asked for these."""
    for name in ("README.md", ".huggingface.yaml"):
        card = folder / name
        if not card.is_file():
            continue
        text = whole(card)
        if name == "README.md":
            parts = re.split(r"^---\s*$", text, maxsplit=2, flags=re.MULTILINE)
            text = parts[1] if len(parts) == 3 and not parts[0].strip() else ""
        try:
            settings = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise DataError(f"{card} has no valid YAML: {' '.join(str(error).split())}") from None
        configs = settings.get("configs") if isinstance(settings, dict) else None
        for words in _texts(configs):
            if "://" in words or "::" in words or words.startswith(("/", "~")) or ".." in words.split("/"):
                raise DataError(
                    f"{card} names files outside {folder}: {words!r}; keep them inside, or take the name on the hub"
                )


def _texts(tree: Any) -> Iterator[str]:
    """All texts in nested lists and mappings, each list once: aliases of YAML may name it many times."""
    seen: set[int] = set()
    waiting = [tree]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, dict | list) and id(one) not in seen:
            seen.add(id(one))
            waiting += one.values() if isinstance(one, dict) else one
