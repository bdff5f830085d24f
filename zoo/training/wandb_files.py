"""How far the files go that wandb keeps of a run on this machine.

Each start of a run makes a folder of its own, `wandb/(offline-)run-<time>-<id>`, with a file of records that `wandb
sync` sends, one folder after the other. What a kill left of the last one is known only to that file: wandb writes it in
blocks. Its form is that of LevelDB's log: blocks of 32 KiB with records, or parts of records, each of them behind a
checksum (4 bytes), a length (2) and which part it is (1). A record is a protocol buffer of wandb's own.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from zoo.checkpoint.disk import replace_file

HEADER_BYTES, BLOCK_BYTES = 7, 1 << 15
"""The header of a record is as long as that of the file, which is a part of the first block."""
PADDING, WHOLE, LAST = 0, 1, 4
"""Which part of a record something is: none, all of it, or its end; others are followed by more."""
ID = ".wandb-id"
"""The file of a run with the id under which wandb has it."""
STEP = ".wandb-step"
"""The file of a run with the last step that some folder had: `wandb clean` takes away those that were synced."""


def last_step(run: Path, id: str) -> int:
    """The last step that a folder of wandb's in the run folder has, or had, a row of; 0: none."""
    kept = run / STEP
    known = int(kept.read_text(encoding="utf-8")) if kept.is_file() else 0
    files = (run / "wandb").glob(f"*run-*-{id}/run-{id}.wandb")
    return max([known, *(step for file in files for step in steps_in(file))])


def remember(run: Path, step: int) -> None:
    """Keeps what `last_step` found."""
    replace_file(run / STEP, str(step), durable=True)


def steps_in(path: Path) -> Iterator[int]:
    """The steps of the rows in a file, up to where a kill tore it."""
    from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]  # it makes its names when imported

    for data in _records(path):
        record = Record.FromString(data)
        if record.HasField("history"):
            yield record.history.step.num


def _records(path: Path) -> Iterator[bytes]:
    parts: list[bytes] = []
    with path.open("rb") as file:
        file.seek(HEADER_BYTES)
        while True:
            left = BLOCK_BYTES - file.tell() % BLOCK_BYTES
            if left < HEADER_BYTES:
                file.seek(left, 1)  # no room for a header: the rest of the block is empty
            header = file.read(HEADER_BYTES)
            if len(header) < HEADER_BYTES:
                return
            _, length, part = struct.unpack("<IHB", header)
            data = file.read(length)
            if part == PADDING or len(data) < length:
                return
            parts.append(data)
            if part in (WHOLE, LAST):
                yield b"".join(parts)
                parts.clear()
