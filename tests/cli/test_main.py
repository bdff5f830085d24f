"""The command line as a whole: help, unknown verbs, every mistake as one sentence, pipes that close."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

import zoo
from tests import own_blocks
from tests.cli.tiny import Command, Workshop
from tests.source_tree import ROOT
from zoo.cli.main import VERBS, main, take_debug, take_imports

HEAVY = ("torch", "pytorch_lightning", "datasets", "matplotlib", "tokenizers", "omegaconf", "numpy", "rich", "wandb")


def run_process(*arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, env=environment)


# ----------------------------------------------------------------------------------------------------------------- help


@pytest.mark.parametrize(
    "arguments", [["--help"], [], ["--version"], *([verb, "--help"] for verb in VERBS), ["data", "stats", "--help"]]
)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    program = (
        f"import sys; from zoo.cli.main import main; status = main({arguments!r}); "
        f"print(*sorted({HEAVY!r} & sys.modules.keys()), file=sys.stderr); sys.exit(status)"
    ).replace(repr(HEAVY), repr(set(HEAVY)))
    result = run_process("-c", program)
    assert (result.returncode, result.stderr.strip()) == (0, "")
    assert result.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_examples(verb: str, command: Command) -> None:
    status, out, _ = command(verb, "--help")
    assert status == 0
    assert f"Usage: zoo {verb}" in out
    assert f"\n    zoo {verb}" in out.partition("Examples:")[2]


def test_help_lists_every_verb_in_whole_sentences(command: Command) -> None:
    page = command("--help").out
    listed = page.partition("Commands:")[2].partition("Examples:")[0]
    assert [line.split()[0] for line in listed.strip().splitlines()] == list(VERBS)
    assert "..." not in listed
    assert command() == command("--help")


def test_version(command: Command) -> None:
    assert command("--version") == (0, f"zoo {zoo.__version__}\n", "")


def test_module_runs_as_a_program() -> None:
    result = run_process("-m", "zoo", "--version")
    assert (result.returncode, result.stdout) == (0, f"zoo {zoo.__version__}\n")


# ------------------------------------------------------------------------------------------------------------- mistakes

MISTAKES = {
    "unknown verb": (["pretrian"], 2, ["'pretrian'", "did you mean 'pretrain'", "evaluate"]),
    "verb of others": (["compare"], 2, ["did you mean 'report'"]),
    "verb to come": (["sweep"], 2, ["zoo sweep is not there yet", "README.md"]),
    "option of others": (["generate", "x", "--max-tokens", "3"], 2, ["--max-tokens", "; write --max-new-tokens;"]),
    "option of others, which the verb lacks": (
        ["score", "x", "--max_tokens", "3"],
        2,
        ["error: No such option: --max_tokens; see --help"],
    ),
    "dashes, where there are no settings": (["generate", "x", "--top.p", "0.9"], 2, ["error: No such option: --top.p"]),
    "verb that no group has": (["data", "sweep"], 2, ["unknown verb of zoo data 'sweep' (legal: "]),
    "setting with dashes, of a model": (["describe", "gpt2", "--dim.x=8"], 2, ["write dim.x=…"]),
    "setting with dashes": (["pretrain", "CONFIG", "--trainer.max_steps=20"], 2, ["write trainer.max_steps=…"]),
    "no target": (["export", "runs/tiny-decoder"], 2, ["Missing argument 'new': the new folder; it must not exist"]),
    "key of another kind": (
        ["pretrain", "gpt-nano", "data.source.path=books"],
        2,
        ["data.source.path: unknown stdlib source key 'path'; it goes with kinds", "; say data.source.kind=text too"],
    ),
    "unknown option": (["pretrain", "--fersh", "CONFIG"], 2, ["--fersh"]),
    "unknown option before a verb": (["--verbos", "list"], 2, ["--verbos"]),
    "no config": (["pretrain"], 2, ["config"]),
    "unknown config": (["pretrain", "bert-nona"], 2, ["'bert-nona'", "did you mean 'bert-nano'", "gpt-nano"]),
    "missing file": (["pretrain", "nowhere/run.yaml"], 2, ["no config file at nowhere/run.yaml", "bert-nano"]),
    "folder as config": (["pretrain", "runs/tiny-decoder/checkpoints"], 2, ["is a folder without a config.yaml"]),
    "invalid YAML": (["pretrain", "broken.yaml"], 2, ["broken.yaml is not valid YAML"]),
    "YAML that is a list": (["pretrain", "list.yaml"], 2, ["list.yaml must hold"]),
    "key without =": (
        ["pretrain", "CONFIG", "trainer.max_steps"],
        2,
        ["'trainer.max_steps' is no setting", "key=value"],
    ),
    "misspelt key": (["pretrain", "CONFIG", "trainer.max_step=3"], 2, ["trainer.max_step", "did you mean 'max_steps'"]),
    "misspelt group": (["pretrain", "CONFIG", "trianer.max_steps=3"], 2, ["trianer", "did you mean 'trainer'"]),
    "wrong type": (
        ["pretrain", "CONFIG", "trainer.max_steps=many"],
        2,
        ["trainer.max_steps", "'many'", "whole number"],
    ),
    "out of range": (["pretrain", "CONFIG", "trainer.max_steps=0"], 2, ["trainer.max_steps: 0 must be at least 1"]),
    "NaN": (["pretrain", "CONFIG", "optimizer.learning_rate=.nan"], 2, ["optimizer.learning_rate", "nan", "finite"]),
    "unknown kind": (["pretrain", "CONFIG", "model.positions=rotray"], 2, ["model.positions", "did you mean 'rotary'"]),
    "a kind under another name": (
        ["pretrain", "CONFIG", "model.family=decoder"],
        2,
        ["model.family", "did you mean 'kind'", " kind, ", " preset"],
    ),
    "warm-up past the end": (
        ["pretrain", "CONFIG", "schedule.kind=linear", "schedule.warmup_steps=100", "trainer.max_steps=60"],
        2,
        ["schedule.warmup_steps", "100", "max_steps=60; add schedule.warmup_steps=6"],
    ),
    "unknown preset": (["pretrain", "CONFIG", "model.preset=gpt3"], 2, ["model.preset", "'gpt3'", "gpt2"]),
    "heads that do not divide": (["pretrain", "CONFIG", "model.num_heads=3"], 2, ["model.num_heads", "3", "dim=16"]),
    "objective of another family": (
        ["pretrain", "CONFIG", "objectives.causal_lm.kind=masked_lm"],
        2,
        ["objectives.causal_lm", "masked_lm", "decoder", "encoder"],
    ),
    "interpolation": (["pretrain", "CONFIG", "name=${oc.env:HOME}"], 2, ["name", "interpolation"]),
    "missing text": (["pretrain", "CONFIG", "name=other", "data.source.path=gone.txt"], 1, ["gone.txt"]),
    "describe: unknown name": (["describe", "bert-bse"], 2, ["'bert-bse'", "did you mean 'bert-base'"]),
    "describe: not a model's key": (["describe", "gpt2-medium", "seed=8"], 2, ["seed", "'seed'", "(legal: ", "dim"]),
    "describe: misspelt key": (["describe", "bert-nano", "dimm=8"], 2, ["error: dimm: ", "did you mean 'dim'"]),
    "describe: wrong own value": (["describe", "bert-nano", "dim=0"], 2, ["error: dim: 0 must be at least 1"]),
    "describe: wrong value": (["describe", "bert-nano", "model.dim=0"], 2, ["model.dim: 0 must be at least 1"]),
    "describe: folder without a model": (["describe", "empty"], 1, ["empty", "holds no model"]),
    "list: nothing fits": (["list", "bret*"], 2, ["'bret*'", "bert-base"]),
    "list: no such choice": (["list", "--choices", "position"], 2, ["'position'", "did you mean 'positions'"]),
    "config: two answers": (["config", "CONFIG", "--yaml", "--docs"], 2, ["--yaml", "--docs"]),
    "fill: missing folder": (["fill", "runs/gone", "a [MASK]"], 1, ["runs/gone is missing"]),
    **{
        f"{verb}: misspelt folder": ([verb, "runs/tiny-dcoder"], status, ["did you mean runs/tiny-decoder?"])
        for verb, status in (("report", 1), ("evaluate", 1), ("describe", 2))
    },
    "fill: a decoder": (["fill", "runs/tiny-decoder", "a [MASK]"], 1, ["'decoder' cannot fill", "generate"]),
    "fill: no mask": (["fill", "runs/tiny-encoder", "a word"], 2, ["no blank", "[MASK]"]),
    "fill: too many": (["fill", "runs/tiny-encoder", "a [MASK]", "--top", "9999"], 2, ["top", "9999"]),
    "generate: an encoder": (["generate", "runs/tiny-encoder", "a"], 1, ["'encoder' cannot generate", "fill"]),
    "generate: no number": (["generate", "runs/tiny-decoder", "a", "--top-k", "some"], 2, ["--top-k", "some"]),
    "generate: no effect": (["generate", "runs/tiny-decoder", "a", "--top-k", "3"], 2, ["--top-k", "temperature"]),
    "generate: no texts": (["generate", "runs/tiny-encoder_decoder", ""], 2, ["the prompt is empty"]),
    "generate: too long": (["generate", "runs/tiny-decoder", "x" * 60], 2, ["the text has 60 tokens"]),
    "generate: no such way to stop": (
        ["generate", "runs/tiny-decoder", "a", "--num-beams", "2", "--early-stopping", "maybe"],
        2,
        ["--early-stopping: 'maybe' is not one of true, false, never"],
    ),
    "generate: a size": (["generate", "gpt2", "a"], 1, ["gpt2 is a size of", "hub:openai-community/gpt2"]),
    "generate: no best": (["generate", "runs/tiny-decoder", "a", "--which", "bets"], 2, ["--which: ", "'bets'"]),
    "generate: no run": (
        ["generate", "runs/tiny-decoder/checkpoints/step-4", "a", "--which", "best"],
        1,
        ["no best checkpoint"],
    ),
    "score: nothing behind": (["score", "runs/tiny-encoder_decoder", "a"], 2, ["--continuation: is missing"]),
    "evaluate: model's key": (
        ["evaluate", "runs/tiny-decoder", "model.dim=8"],
        2,
        ["model: cannot be changed", "data"],
    ),
    "evaluate: trainer's key": (["evaluate", "runs/tiny-decoder", "trainer.max_steps=8"], 2, ["trainer.max_steps"]),
    "evaluate: nothing held out": (
        ["evaluate", "runs/tiny-decoder", "data.validation_fraction=0"],
        1,
        ["data.validation_fraction", "nothing is held out"],
    ),
}


@pytest.mark.parametrize("arguments, status, words", MISTAKES.values(), ids=MISTAKES.keys())
def test_mistake(workshop: Workshop, command: Command, arguments: list[str], status: int, words: list[str]) -> None:
    (workshop.folder / "broken.yaml").write_text("name: [1, 2\nmodel: }", encoding="utf-8")
    (workshop.folder / "list.yaml").write_text("- one\n- two\n", encoding="utf-8")
    (workshop.folder / "empty").mkdir(exist_ok=True)
    arguments = ["tiny-decoder.yaml" if argument == "CONFIG" else argument for argument in arguments]
    outcome = command(*arguments)
    assert outcome.status == status, outcome
    assert outcome.out == ""
    assert len(outcome.err.splitlines()) == 1
    assert outcome.err.startswith("error: ")
    for word in words:
        assert word in outcome.err


@pytest.mark.parametrize("arguments", [["--debug", "describe", "bert-bse"], ["describe", "bert-bse", "--debug"]])
def test_debug_shows_where(command: Command, arguments: list[str]) -> None:
    status, _, err = command(*arguments)
    assert status == 2
    assert "Traceback" in err
    assert "ConfigError" in err
    assert err.splitlines()[-1].startswith("error: ")


def test_debug_behind_two_dashes_is_text() -> None:
    assert take_debug(["--debug", "list"]) == (["list"], True)
    assert take_debug(["generate", "--debug", "runs/a", "text"]) == (["generate", "runs/a", "text"], True)
    assert take_debug(["generate", "runs/a", "--", "--debug"]) == (["generate", "runs/a", "--", "--debug"], False)


@pytest.mark.parametrize(
    "arguments, kept, files",
    [
        (["--import", "a.py", "list"], ["list"], ["a.py"]),
        (["list", "--import=a.py", "x*", "--import", "b.py"], ["list", "x*"], ["a.py", "b.py"]),
        (["generate", "runs/a", "--", "--import", "b.py"], ["generate", "runs/a", "--", "--import", "b.py"], []),
        (["list", "--imports"], ["list", "--imports"], []),
    ],
)
def test_imports_stand_anywhere(arguments: list[str], kept: list[str], files: list[str]) -> None:
    assert take_imports(arguments) == (kept, files)


@pytest.mark.parametrize("arguments", [["--import", "my_blocks.py", "list"], ["list", "--import=my_blocks.py"]])
def test_imported_choice_is_listed(arguments: list[str], command: Command, tmp_path: Path) -> None:
    path = str(own_blocks.write(tmp_path))
    with own_blocks.forgotten():
        arguments = [argument.replace("my_blocks.py", path) for argument in arguments]
        assert "half" in command(*arguments, "--choices", "norm").out


@pytest.mark.parametrize("arguments", [["--help"], ["list", "--help"], ["--import", "twice.py", "--help"]])
def test_help_imports_nothing_of_ones_own(arguments: list[str], command: Command) -> None:
    assert command("--import", "nowhere.py", *arguments).status == 0
    assert "--import file.py" in command("--help").out


def test_import_is_one_sentence_where_it_fails(command: Command, tmp_path: Path) -> None:
    assert command("list", "--import") == (
        2,
        "",
        "error: --import needs a file, for example --import my_blocks.py\n",
    )
    path = own_blocks.write(tmp_path, "x = 1\nraise ValueError('no')\n")
    assert command("list", "--import", path) == (2, "", f"error: {path}, line 2: ValueError: no\n")
    status, _, err = command("list", "--import", path, "--debug")
    assert status == 2
    assert "Traceback" in err


def test_mistake_of_ours_is_no_traceback(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(pattern: str) -> None:
        raise KeyError("inner")

    monkeypatch.setattr("zoo.cli.list._list_names", fail)
    status, out, err = command("list")
    assert (status, out) == (1, "")
    assert err == "error: KeyError: 'inner' (unexpected; --debug shows where)\n"


def test_warnings_are_notes(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    import warnings

    monkeypatch.setattr("zoo.cli.list._list_names", lambda pattern: warnings.warn("step-9 is damaged", stacklevel=1))
    assert command("list") == (0, "", "note: step-9 is damaged\n")


# ------------------------------------------------------------------------------------------------------------- stopping


def test_ctrl_c(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(pattern: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("zoo.cli.list._list_names", stop)
    assert command("list") == (130, "", "stopped by Ctrl-C\n")


def test_closed_pipe_is_no_traceback(tmp_path: Path) -> None:
    # A reader that is gone before the first line is written, as with `| head` on a long table.
    reader, writer = os.pipe()
    os.close(reader)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-m", "zoo", "--help"],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env=environment,
    )
    os.close(writer)
    assert (result.returncode, result.stderr) == (141, "")


def test_terminal_that_cannot_show_a_character(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr("zoo.cli.list._list_names", lambda pattern: print("first → last"))
    assert main(["list"]) == 0
    terminal.seek(0)
    assert terminal.read() == "first ? last\n"


def test_main_returns_the_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert main(["nothing"]) == 2
    assert capsys.readouterr().err.startswith("error: unknown verb 'nothing'")
