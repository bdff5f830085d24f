"""`zoo fill`."""

import json
from pathlib import Path

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
    filled = load("runs/tiny-encoder_decoder").fill("a <extra_id_0> of <extra_id_1>")
    empty = [number for number, blank in enumerate(filled.blanks, start=1) if not blank]
    assert (status, err) == (0, "".join(f"note: nothing was written into blank {number}\n" for number in empty))
    assert out.startswith(filled.text)


def test_texts_of_a_file_into_json_lines(workshop: Workshop, command: Command, tmp_path: Path) -> None:
    texts = ["a [MASK] of", "[MASK] list"]
    (tmp_path / "texts.txt").write_text("\n".join(texts), encoding="utf-8")
    options = ("--file", tmp_path / "texts.txt", "--top", "2", "--output", "-")
    status, out, err = command("fill", "runs/tiny-encoder", *options)
    assert (status, err) == (0, "")
    model = load("runs/tiny-encoder")
    for number, (line, text) in enumerate(zip(out.splitlines(), texts, strict=True), start=1):
        filled = model.fill(text, top=2)
        blanks = [[candidate._asdict() for candidate in blank] for blank in filled.blanks]
        assert json.loads(line) == {"line": number, "text": text, "filled": filled.text, "blanks": blanks}
    assert command("fill", "runs/tiny-encoder").status == 2


def test_a_wrong_text_of_a_file_is_told_by_its_line_and_leaves_no_file(
    workshop: Workshop, command: Command, tmp_path: Path
) -> None:
    (tmp_path / "texts.txt").write_text("a [MASK]\n\nnone\n", encoding="utf-8")
    told = f"{tmp_path / 'texts.txt'}, line 3: no blank in 'none'"
    for output in ((), ("--output", tmp_path / "out.jsonl")):
        status, _, err = command("fill", "runs/tiny-encoder", "--file", tmp_path / "texts.txt", *output)
        assert status == 1
        assert told in err
    assert not (tmp_path / "out.jsonl").exists()
