"""`zoo evaluate`."""

import json
from pathlib import Path

import pytest

from tests.cli.tiny import MODELS, Command, Workshop


@pytest.mark.parametrize("family", MODELS)
def test_repeats_the_validation_of_the_run(workshop: Workshop, command: Command, family: str) -> None:
    status, out, err = command("evaluate", f"runs/tiny-{family}", "--json")
    assert status == 0, err
    report = json.loads(out)
    finished = json.loads((workshop.run(family) / "result.json").read_text(encoding="utf-8"))["metrics"]
    assert report["loss"] == finished["validation/loss"]
    assert report["rows"] > 0
    for name, means in report["objectives"].items():
        assert {f"validation/{name}/{metric}": value for metric, value in means.items()}.items() <= finished.items()


def test_table(workshop: Workshop, command: Command) -> None:
    out = command("evaluate", "runs/tiny-encoder").out
    assert f"held-out rows of {workshop.folder / 'text.txt'} (" in out
    for words in ("masked_lm", "next_sentence", "accuracy", "validation loss"):
        assert words in out


def test_other_text_is_said_to_be_measured_whole(workshop: Workshop, command: Command) -> None:
    (workshop.folder / "other.txt").write_text("\n\n".join(f"{n} other words" * 9 for n in range(40)), encoding="utf-8")
    status, out, err = command("evaluate", "runs/tiny-decoder", "data.source.path=other.txt")
    assert status == 0, err
    assert "rows, all of other.txt (40 documents)" in out
    assert "held-out" not in out


def test_best_checkpoint(workshop: Workshop, command: Command, tmp_path: Path) -> None:
    """Of a run whose later checkpoints are worse: its rate is far too high after the first steps."""
    settings = ("best.keep=1", "trainer.validate_every=1", "trainer.max_steps=6", "optimizer.learning_rate=3")
    run = tmp_path / "run"
    assert command("pretrain", "tiny-decoder.yaml", *settings, "--folder", run).status == 0
    best = json.loads((run / "result.json").read_text(encoding="utf-8"))["best"]
    newest = str(run / "checkpoints" / "step-6")
    assert best != newest
    for verb, *text in (("evaluate",), ("generate", "a list", "--max-new-tokens", "8")):
        assert command(verb, run, *text, "--which", "best").out == command(verb, best, *text).out
        assert command(verb, run, *text).out == command(verb, newest, *text).out
    assert command("evaluate", run).out != command("evaluate", run, "--which", "best").out


@pytest.mark.parametrize("verb", [("evaluate",), ("generate", "a"), ("fill", "a [MASK]")])
def test_which_is_refused_by_name(workshop: Workshop, command: Command, verb: tuple[str, ...]) -> None:
    status, _, err = command(verb[0], "runs/tiny-encoder", *verb[1:], "--which", "bset")
    assert (status != 0, "did you mean 'best'" in err) == (True, True), err
    assert "has kept no best checkpoint" in command(verb[0], "runs/tiny-encoder", *verb[1:], "--which", "best").err
