"""`zoo describe`."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

from tests.cli.tiny import MODELS, Command, Workshop
from zoo.cli.describe import find_subject
from zoo.interop import read_config, write_config
from zoo.models.create import create_model
from zoo.models.presets import PRESETS


@pytest.mark.parametrize("name", PRESETS)
def test_preset(command: Command, name: str) -> None:
    status, out, _ = command("describe", name)
    assert status == 0
    assert f"preset {name}: {PRESETS[name].settings['kind']}" in out
    total = next(line for line in out.splitlines() if line.startswith("total"))
    assert total.split()[1] == f"{PRESETS[name].parameters:,}"
    assert "training FLOPs a token" in out
    assert re.search(r"kernel, cuda bfloat16 +(sdpa is torch's fused kernel|flex has soft caps)", out)


def test_settings_change_it(command: Command) -> None:
    out = command("describe", "gpt2", "positions=alibi", "attention.kernel=reference").out
    assert "alibi, up to 1024" in out
    assert re.search(r"kernel, cuda bfloat16 +reference is what the config says", out)
    assert re.search(r"set: attention +kernel=reference", out)
    assert command("describe", "gpt2", "model.positions=alibi", "attention.kernel=reference").out == out


@pytest.mark.parametrize("family", MODELS)
def test_run_config_and_model_folder_agree(workshop: Workshop, command: Command, family: str) -> None:
    run = workshop.run(family).relative_to(workshop.folder)
    described = [
        command("describe", run),
        command("describe", run / "checkpoints" / "step-4"),
        command("describe", run / "checkpoints" / "step-4" / "model"),
    ]
    bodies = {outcome.out.partition("\n")[2].partition("\n\nrun\n")[0].strip() for outcome in described}
    assert {outcome.status for outcome in described} == {0}
    assert len(bodies) == 1
    assert ["\ntokens of the run" in outcome.out for outcome in described] == [True, False, False]
    assert str(run) in described[0].out


def test_foreign_folder_is_described_as_what_it_is_here(workshop: Workshop, tmp_path: Path) -> None:
    settings = {"num_layers": 2, "dim": 16, "num_heads": 2, "vocab_size": 40, "max_length": 8}
    expected = create_model("gpt2", **settings).config
    folder = tmp_path / "gpt2"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(write_config("gpt2", expected)))
    subject = find_subject(str(folder), ["positions=rotary"])
    assert subject.config.positions.kind == "rotary"
    assert dataclasses.replace(subject.config, positions=expected.positions) == read_config(
        "gpt2", write_config("gpt2", expected)
    )


def test_config_takes_the_vocabulary_of_its_tokenizer(workshop: Workshop) -> None:
    settings = ["tokenizer.kind=byte_level_bpe", "tokenizer.vocab_size=300"]
    assert find_subject("tiny-decoder.yaml", settings).config.vocab_size == 300
    assert find_subject("tiny-decoder.yaml", ["model.vocab_size=261"]).config.vocab_size == 261


def test_config_of_unknown_vocabulary_asks_for_it(workshop: Workshop, command: Command) -> None:
    status, _, err = command("describe", "tiny-decoder.yaml", "tokenizer.kind=characters")
    assert status == 2
    assert "model.vocab_size" in err
    assert "'characters'" in err


def test_preset_wins_over_the_config_of_its_name_and_says_so(command: Command) -> None:
    status, out, err = command("describe", "bert-nano")
    assert status == 0
    assert out.startswith("preset bert-nano")
    suggested = err.rpartition(": ")[2].split()
    assert suggested == ["zoo", "config", "bert-nano"]
    assert command(*suggested[1:]).status == 0


def test_settings_of_a_run_ask_for_the_config_of_that_name(workshop: Workshop) -> None:
    assert find_subject("gpt2", ["model.positions=alibi"]).run is None
    subject = find_subject("gpt2", ["trainer.batch_size=24", "trainer.accumulate=1", "data.source.kind=stdlib"])
    assert subject.run is not None
    assert subject.run.trainer.batch_size == 24


@pytest.mark.parametrize(
    "setting, key",
    [
        ("model.attention.scale=none", "model.attention.scale.kind"),
        ("attention.scale=none", "attention.scale.kind"),
        ("model.attention={scale: none}", "model.attention.scale.kind"),
        ("model.layers={1: {dim: 3}}", "model.layers"),
    ],
)
def test_error_names_the_key_as_it_was_written(command: Command, setting: str, key: str) -> None:
    assert command("describe", "gpt-nano", setting).err.startswith(f"error: {key}: ")


# ------------------------------------------------------------------------------------------------------------ preflight


def test_what_a_run_would_take(command: Command) -> None:
    out = command("describe", "gpt2", "--device", "h100", "--mfu", "0.5").out
    assert out.startswith("config gpt2")
    assert re.search(r"tokens of the run +295G in 600,000 steps", out)
    assert re.search(r"hours +[\d,]+ on h100 at 50 % of 989T FLOP/s \(NVIDIA H100 datasheet\)", out)
    assert re.search(r"memory, at the peak +[\d.]+ GiB of 80.00 GiB \(\d+ %\)\n", out)


def test_parameters_by_how_they_are_updated(command: Command) -> None:
    optimizer = "optimizer={kind: muon, adamw_rate: 0.004, parts: {head: {match: [heads.*], rate: 0.5}}}"
    status, out, err = command("describe", "configs/pretrain/bert-nano.yaml", optimizer)
    assert status == 0, err
    rows = [line.split() for line in out.split("updated alike")[1].splitlines()[2:] if line.strip()]
    assert [" ".join(row[:2]) for row in rows] == ["0.001 0.1", "0.0005 0.1", "0.002 0.1", "0.004 0", "0.002 0"]
    status, _, err = command("describe", "configs/pretrain/bert-nano.yaml", optimizer.replace("heads.*", "hed.*"))
    assert status == 2
    assert "optimizer.parts.head.match.0: 'hed.*' matches no parameter" in err


def test_here_without_a_device(workshop: Workshop, command: Command) -> None:
    out = command("describe", workshop.config("decoder")).out
    assert re.search(r"hours +\S+ on cpu at 40 % of \S+ FLOP/s \(measured now\)", out)


@pytest.mark.parametrize(
    "arguments, told",
    [
        (("gpt2", "--device", "h10"), "did you mean 'h100'"),
        (("gpt2", "--mfu", "40"), "give a number above 0 and at most 1"),
        (("gpt2", "--mfu", "much"), "'much' is not a number"),
        (("gpt2-medium", "--device", "h100"), "preset gpt2-medium is none; give a config"),
        (("gpt2", "bert-base", "--device", "h100"), "ask for one of them"),
        (("gpt2", "bert-bas"), "bert-base"),
        (("gpt2", "positions=alibi", "bert-base"), "bert-base"),
    ],
)
def test_wrong_use_says_what_is_right(command: Command, arguments: tuple[str, ...], told: str) -> None:
    status, _, err = command("describe", *arguments)
    assert status == 2
    assert told in err


def test_two_models(command: Command) -> None:
    status, out, _ = command("describe", "gpt2", "gpt2-medium")
    assert status == 0
    assert re.search(r"setting +preset gpt2 +preset gpt2-medium", out)
    assert re.search(r"num_layers +12 +24", out)
    assert re.search(r"total +124,439,808 +354,823,168 +\+185.1 %", out)
    assert "training FLOPs a token" in out


def test_settings_hold_for_both(command: Command) -> None:
    out = command("describe", "gpt2", "gpt2-medium", "num_layers=3").out
    assert "num_layers" not in out


def test_two_runs(workshop: Workshop, command: Command) -> None:
    runs = [workshop.run(family).relative_to(workshop.folder) for family in ("encoder", "decoder")]
    out = command("describe", *runs).out
    assert re.search(r"model.kind +encoder +decoder", out)
    assert re.search(r"tokenizer.special_tokens +bert +gpt", out)
    assert "have the same settings" in command("describe", runs[0], runs[0]).out
