"""`zoo fill`."""

from tests.cli.tiny import Command, Workshop
from zoo.loading import load


def test_encoder_names_candidates_for_each_mask(workshop: Workshop, command: Command) -> None:
    status, out, err = command("fill", "runs/tiny-encoder", "a [MASK] of [MASK]", "--top", "3")
    assert (status, err) == (0, "")
    filled = load("runs/tiny-encoder").fill("a [MASK] of [MASK]", top=3)
    assert out.startswith(f"{filled.text}\n")
    rows = [line.split() for line in out.splitlines() if line.strip()[:1].isdecimal()]
    assert [row[0] for row in rows] == ["1", "1", "1", "2", "2", "2"]


def test_encoder_decoder_writes_into_each_blank(workshop: Workshop, command: Command) -> None:
    status, out, err = command("fill", "runs/tiny-encoder_decoder", "a <extra_id_0> of <extra_id_1>")
    assert (status, err) == (0, "")
    assert out.startswith(load("runs/tiny-encoder_decoder").fill("a <extra_id_0> of <extra_id_1>").text)
