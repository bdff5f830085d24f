"""How much memory this machine has."""

from pathlib import Path

import pytest

from zoo import memory
from zoo.memory import memory_of


def test_memory_of_a_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(memory, "CONTAINER_LIMIT", limit)
    physical = memory_of("cpu")
    assert physical > 2**28
    limit.write_text("max\n")
    assert memory_of("cpu") == physical
    limit.write_text(f"{2**28}\n")
    assert memory_of("cpu") == 2**28
