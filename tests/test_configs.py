"""Every shipped config: it says how it is run, loads, builds, and its run takes its first steps."""

import math
import re
import shlex
from pathlib import Path

import pytest
import torch

import zoo
from tests.conftest import ROOT
from tests.training.tiny import shrink
from zoo.cli.main import VERBS
from zoo.config import flatten, to_mapping
from zoo.models.anatomy import empty_model
from zoo.training.config import RunConfig
from zoo.training.cost import run_cost
from zoo.training.devices import DEVICES
from zoo.training.run import pretrain
from zoo.training.shipped import load_run

CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))
PRETRAIN = [path for path in CONFIGS if path.parent.name == "pretrain"]

BESIDE = {
    "albert-base": ["model.num_layers=2"],  # they share their weights
    "llama-1b": ["model.num_kv_heads=1"],
    "modernbert-base": ["model.num_layers=4"],  # every third of its layers is another
}
"""What a config needs besides to be shrunk."""
PAPERS = [path for path in PRETRAIN if load_run(path).config.trainer.accelerator == "gpu"]
"""Those with the settings of a paper."""

by_name = pytest.mark.parametrize("path", PRETRAIN, ids=lambda path: path.stem)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For whatever is written."""
    monkeypatch.chdir(tmp_path)


def command_of(path: Path) -> list[str]:
    """The words of the command that a config opens with."""
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# zoo "), f"{path}: the first line must be the command that runs it"
    return shlex.split(first.removeprefix("# zoo "))


def test_there_is_a_nano_config_for_each_family_and_one_for_a_gpu() -> None:
    nano = {load_run(path).config.model.kind for path in PRETRAIN if path.stem.endswith("-nano")}
    assert nano == {"encoder", "decoder", "encoder_decoder"}
    assert any(load_run(path).config.trainer.accelerator == "gpu" for path in PRETRAIN)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_opens_with_the_command_that_runs_it(path: Path) -> None:
    verb, name, *settings = command_of(path)
    assert verb in VERBS
    assert verb == path.parent.name
    assert name == path.stem
    assert load_run(name, settings).config.name == path.stem
    assert path.read_text(encoding="utf-8").splitlines()[1] == "#", "then a word on what it is, apart from the command"


@by_name
def test_names_no_place_on_anybodys_machine(path: Path) -> None:
    words = [value for value in flatten(to_mapping(load_run(path).config)).values() if isinstance(value, str)]
    assert not [word for word in words if word.startswith(("/", "~", "..")) or "shared/" in word]


@by_name
def test_builds_on_the_meta_device(path: Path) -> None:
    config = load_run(path).config
    size = config.model.vocab_size or to_mapping(config.tokenizer).get("vocab_size", 300)
    with torch.device("meta"):
        model = zoo.create_model(config.model, vocab_size=size)
    assert all(parameter.is_meta for parameter in model.parameters())
    assert model.num_parameters > 100_000
    assert {objective.head for objective in config.objectives.values()} == set(model.heads)


@by_name
def test_steps_and_rows_fit_each_other(path: Path) -> None:
    """Each interval comes at least once in the run; a checkpoint is never far away."""
    trainer = load_run(path).config.trainer
    for every in (trainer.validate_every, trainer.save_every, trainer.log_every):
        assert every is not None
        assert every <= (trainer.max_steps or 500)  # of hours: less than a third of what was measured


@pytest.mark.parametrize("path", PAPERS, ids=lambda path: path.stem)
def test_says_what_it_costs_and_what_came_of_it(path: Path) -> None:
    """The figures of the head are those of `zoo describe <config> --device h100 --mfu 0.4`."""
    head = "".join(line for line in path.read_text(encoding="utf-8").splitlines(True) if line.startswith("#"))
    for word in ("Published", "Text", "Differs"):
        assert f"# {word}: " in head or f"# {word}, after all phases: " in head
    said = re.search(r"# Cost: ([\d.,]+) billion tokens, ([\d.,]+) hours on one H100 at 40 % of its peak\.\n", head)
    assert said is not None, "a line '# Cost: … billion tokens, … hours on one H100 at 40 % of its peak.'"
    tokens, hours = (float(number.replace(",", "")) for number in said.groups())
    config: RunConfig = load_run(path).config
    cost = run_cost(config, empty_model(config.model))
    assert cost.tokens / 1e9 == pytest.approx(tokens, rel=0.01)
    assert cost.hours(0.4 * DEVICES["h100"].bf16) == pytest.approx(hours, rel=0.01)


def test_the_papers_are_all_there() -> None:
    papers = {
        "bert-base",
        "roberta-base",
        "albert-base",
        "modernbert-base",
        "gpt2",
        "llama-110m",
        "llama-1b",
        "t5-small",
    }
    papers |= {"t5-base", "t5-v1.1-small", "t5-v1.1-base", "nanot5", "transformer-base"}
    assert papers == {path.stem for path in PAPERS}


@by_name
def test_takes_its_first_steps(path: Path, tmp_path: Path) -> None:
    config: RunConfig = load_run(path, [*shrink(tmp_path), *BESIDE.get(path.stem, [])]).config
    result = pretrain(config)
    assert result.folder == Path("runs") / path.stem
    assert result.steps == 2
    assert math.isfinite(result.metrics["validation/loss"])
    assert zoo.load(result.folder).model.num_parameters == result.parameters
