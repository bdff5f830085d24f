"""docs/ tells the truth: commands run in their order, Python runs, settings fit, errors are those that are shown."""

import dataclasses
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import zoo
from tests import own_blocks
from tests.cli.tiny import SENTENCES, run_command
from tests.conftest import ROOT
from tests.test_settings import MATTERS_WITH
from tests.training.tiny import shrink
from zoo.cli.main import VERBS
from zoo.config import Source, difference, flatten, load_config, to_mapping
from zoo.config_text import read_yaml
from zoo.errors import ConfigError
from zoo.generation.cache import CacheConfig
from zoo.generation.decoding import DecodingConfig
from zoo.generation.embed import POOLINGS
from zoo.registry import tables
from zoo.training.config import RunConfig
from zoo.training.imports import import_blocks
from zoo.training.run_folder import changes
from zoo.training.shipped import find_config, load_run

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
"""Pages whose runs are loaded but not trained; their other commands are followed."""
PAGES = sorted(path.name for path in DOCS.glob("*.md") if path.name not in ELSEWHERE)
WITH_COMMANDS = [*PAGES, "own_blocks.md", "../README.md", "../recipes/README.md"]


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
    return [shlex.split(line, comments=True)[1:] for line in block.text.splitlines() if line.startswith("zoo ")]


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
    if any(key.startswith("trainer.max_") for key in said):  # as long as the page says, so with the page's schedule
        beside = [one for one in beside if not one.startswith("schedule.")]
    if any(key.startswith("data.source") for key in said):
        beside = [one for one in beside if not one.startswith("data.source")]
    return [*arguments[:front], *beside, *arguments[front:]]


def followed(page: str, arguments: list[str]) -> list[str] | None:
    """What is run of a command of a page; None: nothing, it needs a run of a page whose runs are not trained."""
    if page not in LOADED_ONLY:
        return arguments
    if arguments[0] == "pretrain":
        return ["config", *arguments[1:]]
    return None if any(word.startswith("runs/") for word in arguments) else arguments


def config_as_typed(arguments: list[str]) -> RunConfig | None:
    """The config that a command means, with nothing added; None: a command that has none, or whose run goes on another.

    Raises:
        ConfigError: somebody who types the command is refused.
    """
    front = {"pretrain": 1, "config": 1, "data": 2, "tokenizer": 2}.get(arguments[0])
    settings = [word for word in arguments if re.match(r"[a-z_.]+=", word)]
    if front is None or arguments[:2] == ["tokenizer", "inspect"]:
        return None
    if any(setting.startswith("init_from=") for setting in settings):
        return None  # its folder is that of an earlier command: test_page_can_be_followed
    if "--import" in arguments:
        import_blocks(ROOT / "recipes" / "own_blocks" / Path(arguments[arguments.index("--import") + 1]).name)
    config: RunConfig = load_run(arguments[front], settings).config
    return config


def typed_on(page: str) -> list[list[str]]:
    """The commands that a reader of a page types, in their order."""
    return [arguments for block in blocks(page) if not block.language for arguments in commands(block)]


@pytest.mark.parametrize("page", WITH_COMMANDS)
def test_commands_fit_as_they_are_typed(page: str, desk: Path) -> None:
    """Nothing is made smaller here: settings are legal as they stand, and no run meets another's folder."""
    runs: dict[str, RunConfig] = {}
    for arguments in typed_on(page):
        config = config_as_typed(arguments)
        if config is not None and arguments[0] == "pretrain":
            before = runs.setdefault(config.name, config)
            assert not changes(flatten(to_mapping(before)), flatten(to_mapping(config))), arguments


def test_a_page_without_fitting_commands_is_noticed(desk: Path) -> None:
    with pytest.raises(ConfigError, match="100 steps are more than max_steps=10"):
        config_as_typed(["pretrain", "gpt-nano", "trainer.max_steps=10"])


def test_no_two_pages_share_a_run(desk: Path) -> None:
    """Whoever reads on meets no folder of the page before."""
    on: dict[str, str] = {}
    for page in WITH_COMMANDS:
        for arguments in typed_on(page):
            config = config_as_typed(arguments) if arguments[0] == "pretrain" else None
            if config is not None:
                assert on.setdefault(config.name, page) == page, arguments


@pytest.mark.parametrize("page, name", [("quick_start.md", "mine"), ("../README.md", "my")])
def test_change_one_thing_changes_one_thing(page: str, name: str) -> None:
    mine, rotary = (config_as_typed(line) for line in typed_on(page) if f"name={name}" in " ".join(line))
    changed = {".".join(key.split(".")[:2]) for key, _, _ in difference(mine, rotary)}
    assert changed == {"name", "model.positions"}


def test_settings_that_may_stand_idle_are_those_that_do() -> None:
    """docs/configs.md names fields of the reviewed list of those that matter only beside another choice."""
    said = (DOCS / "configs.md").read_text(encoding="utf-8").split("A few may stand idle", 1)[1].split("\n\n")[0]
    named = set(re.findall(r"`([a-z_.]+)`", said)) & set(MATTERS_WITH)
    assert named == {"norm.eps", "norm", "initialization.position_std"}
    load_run("gpt-nano", ["model.placement=none", "model.norm.eps=1e-3"])
    load_run("gpt-nano", ["model.positions=rotary", "model.initialization.position_std=0.01"])


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_page_can_be_followed(page: str, desk: Path) -> None:
    for block in blocks(page):
        if block.language == "python":
            exec(compile(block.text, page, "exec"), {"__name__": "page"})
        elif not block.language and not block.text.startswith("$"):
            for typed in commands(block):
                arguments = followed(page, typed)
                if arguments is not None:
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
    for path in [*DOCS.glob("*.md"), ROOT / "README.md", ROOT / "recipes" / "README.md"]:
        for target in re.findall(r"\]\(([^)#]+)(?:#[\w-]+)?\)", path.read_text(encoding="utf-8")):
            assert "://" in target or (path.parent / target).exists(), (path.name, target)


def test_named_files_exist() -> None:
    for path in DOCS.glob("*.md"):
        for name in re.findall(r"`((?:zoo|recipes|configs|tests|docs)/[\w./-]*)`", path.read_text(encoding="utf-8")):
            assert (ROOT / name).exists(), (path.name, name)


def test_every_public_name_is_explained() -> None:
    said = (DOCS / "python.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `zoo\.(\w+)` \|", said, flags=re.MULTILINE)) == set(zoo.__all__)


def test_of_every_command_it_is_said_whether_there_is_a_function() -> None:
    said = (DOCS / "python.md").read_text(encoding="utf-8").split("## Train")[0]
    assert [verb for verb in VERBS if f"`zoo {verb}`" not in said] == []


def test_every_setting_of_decoding_is_explained() -> None:
    said = (DOCS / "decoding.md").read_text(encoding="utf-8")
    settings = {field.name for field in dataclasses.fields(DecodingConfig)}
    assert {name for name in settings if f"`{name}`" not in said} == set()
    assert [name for name in [*CacheConfig.choices, *POOLINGS] if f"`{name}`" not in said] == []


def test_every_family_of_choices_has_its_row() -> None:
    rows = re.findall(r"^\| ([\w, ]+) \|", (DOCS / "own_blocks.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    told = {noun for row in rows for noun in row.split(", ")} - {"you write"}
    ours = {
        noun
        for noun, entries in tables()
        if any(isinstance(entry, type) and entry.__module__.startswith("zoo.") for entry in entries.values())
    }
    assert told == ours


def test_every_page_is_reached_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert not [page for page in [*PAGES, *ELSEWHERE] if f"docs/{page}" not in readme]
