"""What wandb's files say of how far a run is there: each row, up to where a kill tore the file."""

import struct
from pathlib import Path

import pytest

from zoo.training.wandb_files import BLOCK_BYTES, last_step, remember, steps_in

wandb_internal_pb2 = pytest.importorskip("wandb.proto.wandb_internal_pb2")
HEADER = b":W&B\xe1\xbe\x00"


def written(steps: list[int], size: int) -> bytes:
    """A file as wandb writes it, with a row of `size` bytes or more for each step, and what is no row between them."""
    data = bytearray(HEADER)
    for step in steps:
        row = wandb_internal_pb2.Record()
        row.history.step.num = step
        row.history.item.add(key="loss", value_json="1" * size)
        for record in (row.SerializeToString(), wandb_internal_pb2.Record(num=1).SerializeToString()):
            is_first = True
            while is_first or record:
                left = BLOCK_BYTES - len(data) % BLOCK_BYTES
                if left < 7:
                    data += bytes(left)
                    continue
                part, record = record[: left - 7], record[left - 7 :]
                kind = (1 if is_first else 4) if not record else (2 if is_first else 3)
                data += struct.pack("<IHB", 0, len(part), kind) + part
                is_first = False
    return bytes(data)


@pytest.mark.parametrize("size", [1, 1000, 3333, BLOCK_BYTES, 3 * BLOCK_BYTES])
def test_every_row_is_found(size: int, tmp_path: Path) -> None:
    path = tmp_path / "run.wandb"
    path.write_bytes(written([*range(1, 40), 50], size))
    assert list(steps_in(path)) == [*range(1, 40), 50]


def test_torn_file_is_read_up_to_the_tear(tmp_path: Path) -> None:
    path, whole = tmp_path / "run.wandb", written([1, 2, 3], 10)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        found = list(steps_in(path))
        assert found == [1, 2, 3][: len(found)]
        assert len(found) < 3 or length > len(whole) * 0.8


def test_last_step_is_that_of_all_folders(tmp_path: Path) -> None:
    assert last_step(tmp_path, "me") == 0
    for name, steps in (("offline-run-1-me", [1, 2, 5]), ("run-2-me", [6, 9]), ("offline-run-3-me", [])):
        (tmp_path / "wandb" / name).mkdir(parents=True)
        (tmp_path / "wandb" / name / "run-me.wandb").write_bytes(written(steps, 10))
    assert last_step(tmp_path, "me") == 9
    assert last_step(tmp_path, "you") == 0
    remember(tmp_path, 12)  # of a folder that is gone since
    assert last_step(tmp_path, "me") == 12
