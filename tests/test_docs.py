"""docs/ tells the truth: commands run in their order, Python runs, settings fit, errors are those that are shown."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests import own_blocks
from tests.cli.tiny import SENTENCES, run_command
from tests.conftest import ROOT
from tests.training.tiny import shrink
from zoo.config import Source, load_config, read_yaml
from zoo.training.config import RunConfig
from zoo.training.shipped import find_config

DOCS = ROOT / "docs"
ELSEWHERE = {
    "compatibility.md": "generated; tests/test_compatibility.py",
    "own_blocks.md": "tests/test_own_blocks_page.py",
}
"""Pages with a test of their own."""
LOADED_ONLY = {
    "sources.md": "its texts are not at hand",
    "precision_and_memory.md": "its commands are one run with other settings each",
    "length_of_a_run.md": "its runs are long, and branch from steps of long runs",
}
"""Pages whose runs are loaded but not trained."""
PAGES = sorted(path.name for path in DOCS.glob("*.md") if path.name not in ELSEWHERE)


class Block(NamedTuple):
    """A piece of code in a page."""

    language: str
    text: str


def blocks(page: str) -> list[Block]:
    """All pieces of code of a page, in their order."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return [Block(*found) for found in re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)]


def commands(block: Block) -> list[list[str]]:
    """The arguments of each `zoo` line of a block of commands."""
    lines = [shlex.split(line, comments=True) for line in block.text.splitlines()]
    return [line[1:] for line in lines if line and line[0] == "zoo"]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of somebody who follows a page: with a folder of books."""
    books = tmp_path / "books"
    books.mkdir()
    for name in ("one", "two"):
        lines = [" ".join(SENTENCES[(start * step) % 5] for step in range(1, 5)) for start in range(60)]
        (books / f"{name}.txt").write_text("\n\n".join(f"{name} {line}" for line in lines), encoding="utf-8")
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    with own_blocks.forgotten():
        yield tmp_path


def small(arguments: list[str], folder: Path) -> list[str]:
    """Commands that train or prepare, on the same model made small; the page's own settings still win."""
    if arguments[0] not in ("pretrain", "data", "tokenizer") or arguments[1] == "inspect":
        return arguments
    front = {"pretrain": 2, "data": 3, "tokenizer": 4}[arguments[0]]
    said = {argument.partition("=")[0] for argument in arguments[front:]}
    beside = [one for one in shrink(folder) if one.partition("=")[0] not in said]
    if any(key.startswith("data.source") for key in said):
        beside = [one for one in beside if not one.startswith("data.source")]
    return [*arguments[:front], *beside, *arguments[front:]]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_page_can_be_followed(page: str, desk: Path) -> None:
    for block in blocks(page):
        if block.language == "python":
            exec(compile(block.text, page, "exec"), {"__name__": "page"})
        elif not block.language and not block.text.startswith("$"):
            for arguments in commands(block):
                if page in LOADED_ONLY:
                    if arguments[0] != "pretrain":
                        continue
                    arguments = ["config", *arguments[1:]]
                outcome = run_command(*small(arguments, desk))
                assert outcome.status == 0, (arguments, outcome.err)


@pytest.mark.parametrize("page", PAGES)
def test_settings_fit(page: str, desk: Path) -> None:
    for block in blocks(page):
        if block.language == "yaml":
            (desk / "page.yaml").write_text(block.text, encoding="utf-8")
            source = read_yaml(desk / "page.yaml")
            under = [] if "model" in source.settings else [read_yaml(find_config("gpt-nano"))]
            load_config(RunConfig, [Source("name", {"name": "page"}), *under, source])


@pytest.mark.parametrize("page", PAGES)
def test_errors_are_those_that_are_shown(page: str, desk: Path) -> None:
    for block in blocks(page):
        if block.text.startswith("$ zoo"):
            line, shown = block.text.strip().split("\n")
            outcome = run_command(*shlex.split(line)[2:])
            assert outcome.status
            assert outcome.err.startswith(shown.partition("…")[0]), outcome.err


def test_links_lead_somewhere() -> None:
    for path in [*DOCS.glob("*.md"), ROOT / "README.md"]:
        for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
            assert "://" in target or (path.parent / target).exists(), (path.name, target)


def test_named_files_exist() -> None:
    for path in DOCS.glob("*.md"):
        for name in re.findall(r"`((?:zoo|recipes|configs|tests|docs)/[\w./-]*)`", path.read_text(encoding="utf-8")):
            assert (ROOT / name).exists(), (path.name, name)


def test_every_page_is_reached_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert not [page for page in [*PAGES, *ELSEWHERE] if f"docs/{page}" not in readme]
