"""Pages of a mapped file that are let go leave memory, and come back from the file where they are touched."""

import mmap
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import zoo
from zoo.checkpoint.pages import let_go


def resident(path: Path) -> int:
    """Bytes of a file that are mapped into this process and in memory."""
    maps = Path("/proc/self/smaps").read_text().partition(f" {path}\n")[2]
    return int(re.search(r"Rss:\s+(\d+) kB", maps)[1]) << 10  # type: ignore[index]


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="reads what Linux says of memory")
def test_memory_is_given_back_and_numbers_stay(tmp_path: Path) -> None:
    numbers = torch.arange(8 << 20, dtype=torch.float32)
    (tmp_path / "file").write_bytes(numbers.numpy().tobytes())
    with (tmp_path / "file").open("rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    tensor = torch.frombuffer(content, dtype=torch.float32)
    assert torch.equal(tensor, numbers)
    assert resident(tmp_path / "file") > 0.5 * numbers.nbytes  # but for what a system short of memory took away
    let_go(tensor)
    assert resident(tmp_path / "file") < 0.1 * numbers.nbytes
    assert torch.equal(tensor, numbers)


def test_neighbours_on_the_same_page_keep_what_was_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(3 * mmap.PAGESIZE))
    with (tmp_path / "file").open("rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    whole = torch.frombuffer(content, dtype=torch.uint8)
    whole.fill_(7)
    let_go(whole[10:-10])
    assert (whole[: mmap.PAGESIZE] == 7).all()
    assert (whole[-mmap.PAGESIZE :] == 7).all()
    assert (whole[mmap.PAGESIZE : -mmap.PAGESIZE] == 0).all()
    let_go(whole[5:5])


PEAK = """
import re, sys
from pathlib import Path
from zoo.loading import load
import torch
def memory(name):
    return int(re.search(name + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
torch.nn.Linear(4, 4)(torch.zeros(1, 4))
load(sys.argv[1])  # what is imported on the way does not count
Path("/proc/self/clear_refs").write_text("5")
before = memory("VmRSS")
model = load(sys.argv[2], dtype="bfloat16").model
print((memory("VmHWM") - before) / sum(parameter.nbytes for parameter in model.parameters()))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads what Linux says of memory")
@pytest.mark.parametrize("kind", ["ours", "theirs"])
def test_weights_in_another_type_are_in_memory_once(kind: str, tmp_path: Path) -> None:
    """The whole file beside them would make it three times as much; how far the hash is ahead is a matter of time."""
    sizes = {"num_layers": 4, "num_heads": 8, "max_length": 64}
    for name, dim in (("small", 16), ("large", 512)):
        model = zoo.create_model("gpt2", vocab_size=10_000, dim=dim, **sizes)
        zoo.save(model, tmp_path / name) if kind == "ours" else zoo.export(model, tmp_path / name)
    names = [str(tmp_path / name) for name in ("small", "large")]
    ended = subprocess.run([sys.executable, "-c", PEAK, *names], check=True, capture_output=True, text=True)
    assert float(ended.stdout) < 2
