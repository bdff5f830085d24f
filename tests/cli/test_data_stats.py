"""`zoo data stats`: the numbers of a token store."""

from tests.cli.tiny import Command, Workshop


def test_numbers_of_a_text_of_bytes(workshop: Workshop, command: Command) -> None:
    status, out, err = command("data", "stats", "tiny-decoder.yaml")
    assert status == 0, err
    cells = {line.rpartition("  ")[0].strip(): line.split()[-1] for line in out.splitlines() if line}
    assert cells["documents kept"] == cells["documents read"] == "60"
    assert cells["tokens"] == cells["bytes of text"]
    assert float(cells["bytes per token"]) == 1.0
    bits = float(cells["unigram entropy, bits per token"])
    assert 3.5 < bits < 5
    assert float(cells["unigram entropy, bits per byte"]) == bits
    assert float(cells["unigram entropy, nats per token (as a loss)"]) < bits
    assert 1 < int(cells["shortest"]) <= int(cells["median"]) <= int(cells["longest"])
    assert "most frequent token" in out


def test_a_finished_run_can_be_asked(workshop: Workshop, command: Command) -> None:
    outcome = command("data", "stats", "runs/tiny-encoder/config.yaml")
    assert outcome.status == 0, outcome.err
    assert "tiny-encoder" in outcome.out
