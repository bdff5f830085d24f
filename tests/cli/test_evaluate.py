"""`zoo evaluate`."""

import json

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
