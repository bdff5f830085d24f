"""`zoo config`."""

import re
from pathlib import Path

import pytest

from tests.cli.tiny import Command, Workshop
from zoo.cli.screen import PAGE
from zoo.training.shipped import load_run


def test_every_value_says_where_it_came_from(workshop: Workshop, command: Command) -> None:
    status, out, err = command("config", "tiny-decoder.yaml", "model.positions=rotary", "trainer.max_steps=7")
    assert (status, err) == (0, "")
    rows = {line.split()[0]: line.split(maxsplit=2)[1:] for line in out.splitlines()[2:]}
    assert rows["trainer.max_steps"] == ["7", "command line"]
    assert rows["model.positions.kind"] == ["rotary", "command line"]
    assert rows["model.dim"] == ["16", "tiny-decoder.yaml"]
    assert rows["model.placement"] == ["pre", "preset gpt-nano"]
    assert rows["trainer.accumulate"] == ["1", "default"]
    assert rows["model.vocab_size"] == ["null", "tiny-decoder.yaml"]


def test_yaml_runs_again(workshop: Workshop, command: Command, tmp_path: Path) -> None:
    settings = ["model.positions=alibi", "trainer.max_steps=3"]
    status, out, _ = command("config", "tiny-encoder.yaml", *settings, "--yaml")
    assert status == 0
    (tmp_path / "again.yaml").write_text(out, encoding="utf-8")
    assert load_run(tmp_path / "again.yaml").config == load_run("tiny-encoder.yaml", settings).config


def test_config_of_a_run_is_the_config_that_made_it(workshop: Workshop) -> None:
    assert load_run(workshop.run("encoder") / "config.yaml").config == load_run(workshop.config("encoder")).config


def test_docs_have_every_key(workshop: Workshop, command: Command) -> None:
    values = command("config", "tiny-decoder.yaml").out.splitlines()[2:]
    documented = command("config", "tiny-decoder.yaml", "--docs").out
    keys = {line.split()[0] for line in documented.splitlines() if not line.startswith(" ")}
    assert {line.split()[0] for line in values} <= keys
    assert (
        "trainer.batch_size (default 32)\n    rows of one optimizer step, over all ranks and microbatches\n"
        "    whole number at least 1\n"
    ) in documented
    assert max(map(len, documented.splitlines())) <= PAGE


@pytest.mark.parametrize("setting", ["data.source.path=books", "optimizer.momentum=0.9"])
def test_what_a_key_of_another_kind_is_told_to_say_is_accepted(command: Command, setting: str) -> None:
    told = re.search(r"; say (\S+) too", command("config", "gpt-nano", setting).err)
    assert told is not None
    for settings in ([setting, told[1]], [told[1], setting]):
        assert command("config", "gpt-nano", *settings)[::2] == (0, "")
