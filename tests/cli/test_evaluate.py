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
    assert "held-out rows" in out
    for words in ("masked_lm", "next_sentence", "accuracy", "validation loss"):
        assert words in out
