"""One tiny trained run of each family, for tests of anywhere that need a trained one (tests/conftest.py)."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.tiny import MODELS, SENTENCES, Workshop, run_command, tiny_config


@pytest.fixture(scope="session")
def _workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    folder = tmp_path_factory.mktemp("workshop")
    text = folder / "text.txt"
    paragraphs = [" ".join(SENTENCES[(start * step) % 5] for step in range(1, 5)) for start in range(60)]
    text.write_text("\n\n".join(paragraphs), encoding="utf-8")
    before = Path.cwd()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_CACHE", str(folder / "cache"))
        patch.chdir(folder)
        trained = {}
        for family in MODELS:
            (folder / f"tiny-{family}.yaml").write_text(tiny_config(family, text), encoding="utf-8")
            trained[family] = run_command("pretrain", f"tiny-{family}.yaml")
        os.chdir(before)
        yield Workshop(folder, trained)


@pytest.fixture
def workshop(_workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    """The workshop, with its folder as the working directory."""
    monkeypatch.chdir(_workshop.folder)
    return _workshop
