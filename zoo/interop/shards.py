"""Weights in several files, and the index (JSON) that says which tensor is in which: what both must be like."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from zoo.checkpoint.disk import read_json, read_json_object
from zoo.checkpoint.model import listed
from zoo.errors import CheckpointError
from zoo.tokenizer.links import followed

MAX_INDEX_BYTES = 64 << 20
MAX_BYTES = 16 << 20
"""Of any other file of JSON or text."""
SHARD = "*-[0-9]*-of-[0-9]*"
"""What says by its name, without the ending, that it is a part, and so belongs to an index."""


def plain_file(folder: Path, name: str) -> Path:
    """A file of a folder, a link of the hub's cache followed; raises CheckpointError where it leads elsewhere."""
    return followed(folder, name, CheckpointError)


def plain_object(folder: Path, name: str) -> dict[str, Any]:
    """The named values in a small JSON file of a folder, {} where it is missing; raises as `read_json` does."""
    return read_json_object(plain_file(folder, name), MAX_BYTES)


def read_index(folder: Path, name: str) -> dict[str, str]:
    """Name of a tensor → its file, as the index of that name says; {} where the folder has none.

    Raises:
        CheckpointError: it is damaged, or leads out of the folder.
    """
    if not (folder / name).is_file():
        return {}
    index = read_json(plain_file(folder, name), MAX_INDEX_BYTES)
    names = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(names, dict) or not all(isinstance(n, str) and Path(n).name == n for n in names.values()):
        raise CheckpointError(f"{folder / name} is damaged: weight_map must give each tensor a file beside it")
    return names


def check_files(folder: Path, index_name: str, named: Iterable[str], there: Iterable[str]) -> None:
    """Raises CheckpointError where a folder lacks a file that its index names, or has one that it does not name.

    Args:
        folder: with the index. index_name: of the index.
        named: names of files in the index. there: names of files that could be shards.
    """
    names = {*named}
    problems = {
        "lacks": [name for name in sorted(names) if not (folder / name).is_file()],
        "has, unnamed,": sorted({*there} - names),
    }
    if any(problems.values()):
        told = " and ".join(f"{what} {listed(found)}" for what, found in problems.items() if found)
        raise CheckpointError(
            f"{folder} {told}: its shards must be those that {index_name} names; fetch the folder again, or move "
            "away what is none of its weights"
        )


def refuse_shards(folder: Path, name: str, index_name: str, there: Iterable[str]) -> None:
    """Raises CheckpointError where files that are named as parts lie beside the whole and no index is there."""
    if shards := sorted(one for one in there if Path(Path(one).stem).match(SHARD)):
        raise CheckpointError(
            f"{folder} has {name}, and also {listed(shards)}, named as parts of an index "
            f"({index_name}) that is not there, so its weights could be either; fetch the folder again, or move away "
            "what is none of them"
        )


def check_places(folder: Path, index_name: str, index: Mapping[str, str], held: Iterable[tuple[str, str]]) -> None:
    """Raises CheckpointError with every tensor that is not where the index says.

    Args:
        folder: with the index. index_name: of the index.
        index: name of a tensor → its file; empty where there is no index, but one file.
        held: (name of a tensor, name of the file that holds it), of all files.
    """
    found: dict[str, str] = {}
    twice = []
    for name, file in held:
        if name in found:
            twice.append(f"{name} ({found[name]} and {file})")
        found[name] = file
    problems = {"in two shards": twice}
    if index:
        problems |= {
            "in no shard": [f"{name} (should be in {file})" for name, file in index.items() if name not in found],
            "in another shard": [
                f"{name} (in {found[name]}, not {file})"
                for name, file in index.items()
                if found.get(name, file) != file
            ],
            "not in the index": [f"{name} (in {file})" for name, file in found.items() if name not in index],
        }
    if any(problems.values()):
        told = "; ".join(f"{what}: {listed(names)}" for what, names in problems.items() if names)
        raise CheckpointError(f"{folder}: the shards are not as {index_name} says; nothing was loaded. {told}")
