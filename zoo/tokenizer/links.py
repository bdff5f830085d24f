"""Files of a folder that somebody else made: none of them is read through a link that leads elsewhere.

A link of the hub's cache (a folder snapshots/<commit>, whose files are links to ../../blobs/<hash>) is followed: it
leads into the blobs of the model that the folder itself belongs to, and nowhere else.
"""

from __future__ import annotations

from pathlib import Path

from zoo.errors import DataError, ZooError


def followed(folder: Path, name: str, error: type[ZooError] = DataError) -> Path:
    """A file of a folder, a link of the hub's cache followed.

    Args:
        folder: may itself be a link: it is what the user has named.
        name: of the file, with "/" where it lies in a folder below.
        error: what is raised.

    Raises:
        ZooError: the file, or a folder on the way to it, is a link that leads elsewhere.
    """
    path, home = folder / name, folder.resolve()
    target = path.resolve()
    if target == home / name:
        return path
    if target.parent != home.parent.parent / "blobs":
        raise error(f"{path} is a link that leads out of its folder, to {target}; copy the file here")
    return target


def read_bytes(file: Path) -> bytes:
    """The content of a file; DataError where it is a link that leads out of its folder, OSError: it cannot be read."""
    return followed(file.parent, file.name).read_bytes()
