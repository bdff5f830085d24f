"""Each benchmark runs, here at a tiny size; what it measures there says nothing.

Of a benchmark that needs what a test cannot have (a clone of nanoGPT, gigabytes of text), its parts are tried.
"""

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from benchmarks import generation, imports, loading, masking, prepare_large, recompute, shakespeare, steps, tokenizing
from tests.conftest import ROOT
from zoo.nn import loss

RUNS = {
    "generation": "--cases nano --rows 2 --rounds 1 --calls 1 --new 3",
    "imports": "--rounds 1",
    "loading": "--layers 1 --dim 64 --vocabulary 64 --rounds 1",
    "masking": "--rows 2 --lengths 16 8 --rounds 1",
    "prepare_large": "--folder large --megabytes 1",
    "recompute": "--layers 1 --dim 64 --rows 4 --length 64 --rounds 1",
    "shakespeare": "--nanogpt clone --text input.txt --seeds 1 --steps 1",
    "steps": "--cases gpt-256 --rounds 1 --steps 1",
    "tokenizing": "--path corpus.jsonl --megabytes 1 --rounds 1 --kinds byte_level_bpe",
}
"""Benchmark → the arguments that it is tried with."""

RATIO = r"[\d.]+ \[[\d.]+ to [\d.]+\]"


def start(module: ModuleType, monkeypatch: pytest.MonkeyPatch, arguments: str = "") -> None:
    name = module.__name__.removeprefix("benchmarks.")
    monkeypatch.setattr(sys, "argv", [name, *(arguments or RUNS[name]).split()])
    module.main()


def test_every_benchmark_is_tried_here_and_opens_with_its_command() -> None:
    found = {path.stem for path in (ROOT / "benchmarks").glob("*.py")}
    assert found == set(RUNS)
    for name in found:
        assert f"python -m benchmarks.{name}" in (importlib.import_module(f"benchmarks.{name}").__doc__ or "")


@pytest.mark.parametrize("name", RUNS)
def test_an_option_that_does_not_exist_is_refused(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        start(importlib.import_module(f"benchmarks.{name}"), monkeypatch, f"{RUNS[name]} --sizes 1")
    assert ended.value.code == 2
    assert "--sizes" in capsys.readouterr().err


# --------------------------------------------------------------------------------------------------- imports, recompute


def test_imports(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(imports, "STATEMENTS", dict.fromkeys(imports.STATEMENTS, "pass"))
    start(imports, monkeypatch)
    *rows, ratio = capsys.readouterr().out.splitlines()
    assert [re.split(r" {2,}", row)[0] for row in rows] == list(imports.STATEMENTS)
    assert re.fullmatch(rf"create_model / import torch: {RATIO}", ratio)


@pytest.mark.slow
@pytest.mark.parametrize("statement", imports.STATEMENTS.values())
def test_statements_that_are_timed_work(statement: str) -> None:
    subprocess.run([sys.executable, "-c", statement], cwd=ROOT, check=True, capture_output=True)


def test_recompute(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    start(recompute, monkeypatch)
    said = capsys.readouterr().out
    kept = [float(number) for number in re.findall(r"([\d.]+) MiB", said)]
    assert len(kept) == 2 * len(recompute.KINDS)
    none, blocks = kept[0], kept[1]
    assert blocks < none


def test_recompute_by_chunks(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(loss, "CHUNK_ELEMENTS", loss.CHUNK_ELEMENTS)  # which the benchmark changes
    start(recompute, monkeypatch, "--chunks --dim 4 --rows 1 --length 4 --rounds 1")
    assert len(re.findall(r"positions, .* MiB: [\d.]+ s", capsys.readouterr().out)) == 5


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads memory from /proc")
def test_loading(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    start(loading, monkeypatch)
    said = capsys.readouterr().out
    assert len(re.findall(rf"x transformers: {RATIO} and {RATIO}", said)) == len(loading.WAYS)


# ------------------------------------------------------------------------------------------------------ masking, tokens


def test_masking(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("transformers")
    start(masking, monkeypatch)
    said = capsys.readouterr().out
    assert re.findall(r"(\d+) rows of (\d+) tokens", said) == [("2", "16"), ("2", "8")]
    assert len(re.findall(rf"zoo / transformers: {RATIO}", said)) == 4


def test_masking_starts_both_sides_from_the_same_rows() -> None:
    pytest.importorskip("transformers")
    text = masking.np.arange(61 * 6) % 30_000
    ours, theirs = masking.ours(text, 3, 8)(1)[0].batch, masking.theirs(text, 3, 8)(1)
    shown = {"zoo": (ours.inputs["tokens"], ours.labels["masked_lm"]), "other": (theirs["input_ids"], theirs["labels"])}
    whole = [labels.where(labels != -100, tokens) for tokens, labels in shown.values()]
    assert whole[0].tolist() == whole[1].tolist()


def test_tokenizing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tokenizing, "available_cores", lambda: 1)
    with Path("corpus.jsonl").open("w") as file:
        file.writelines(f'{{"text": "document {number} of {number * number} words"}}\n' for number in range(2_000))
    start(tokenizing, monkeypatch)
    said = capsys.readouterr().out
    assert re.search(r"^1,\d{3},\d{3} characters in", said)
    assert len(re.findall(rf"ratio {RATIO}  .*ratio {RATIO}", said)) == 6


# -------------------------------------------------------------------------------------------------------- prepare_large


def test_the_large_corpus_is_the_same_again_and_has_copies_and_gaps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare_large, "CHUNK_WORDS", 60_000)
    monkeypatch.setattr(prepare_large, "WORDS", 1_000)
    one, other = (list(prepare_large.documents(500_000)) for _ in range(2))
    assert one == other
    assert sum(map(len, one)) >= 500_000
    texts = [text for text in one if text]
    assert 0 < len(one) - len(texts) < len(one) / 20
    assert 0 < len(texts) - len(set(texts)) < len(texts) / 10


def test_stores_that_differ_are_told(tmp_path: Path) -> None:
    caches = [tmp_path / "one", tmp_path / "other"]
    for cache in caches:
        (cache / "store" / "abc").mkdir(parents=True)
        for name in ("store.json", "tokens.bin"):
            (cache / "store" / "abc" / name).write_text("the same")
    assert prepare_large.differences(*caches) == []
    (caches[1] / "store" / "abc" / "tokens.bin").write_text("another")
    assert prepare_large.differences(*caches) == ["tokens.bin"]


def test_a_corpus_of_too_few_shards_to_be_killed_twice_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(prepare_large, "generate", lambda path, megabytes: path.touch())
    monkeypatch.setattr(prepare_large, "prepare", lambda *given: prepare_large.Outcome(0, 1.0, 1.0))
    monkeypatch.setattr(prepare_large, "shards", lambda cache: 1)
    with pytest.raises(SystemExit, match=r"--megabytes 1 makes 1 shards; 3 are needed"):
        start(prepare_large, monkeypatch)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads memory from /proc")
def test_a_small_corpus_is_prepared_and_its_memory_is_seen(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    prepare_large.generate(corpus, 1)
    outcome = prepare_large.prepare(corpus, tmp_path / "cache", workers=1, limit=1_000)
    assert outcome.status == 0
    assert 10 < outcome.peak < 1_000
    assert prepare_large.shards(tmp_path / "cache") == 1


# ---------------------------------------------------------------------------------------------------------- shakespeare

PREPARE = "from pathlib import Path\nPath('data/shakespeare_char/val.bin').write_bytes(b'')\n"
TRAIN = "import os\ntorch.manual_seed(1337 + seed_offset)\n"


def test_a_clone_of_nanogpt_is_copied_with_its_text_and_takes_our_seed(tmp_path: Path) -> None:
    clone, text = tmp_path / "clone", tmp_path / "input.txt"
    (clone / "data" / "shakespeare_char").mkdir(parents=True)
    (clone / ".git").mkdir()
    (clone / "data" / "shakespeare_char" / "prepare.py").write_text(PREPARE)
    (clone / "train.py").write_text(TRAIN)
    text.write_text("Speak, speak.")
    copy = shakespeare.prepare_nanogpt(clone, text, tmp_path / "copies")
    assert (copy / "data" / "shakespeare_char" / "input.txt").read_text() == "Speak, speak."
    assert (copy / "data" / "shakespeare_char" / "val.bin").exists()
    assert "torch.manual_seed(int(os.environ['SEED']))" in (copy / "train.py").read_text()
    assert (clone / "train.py").read_text() == TRAIN  # what it was given stays as it was
    assert not (copy / ".git").exists()


def test_shakespeare_takes_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    order: list[str] = []

    def run(name: str, seconds: float) -> Any:
        return lambda *given: order.append(name) or (seconds, 1.5)

    monkeypatch.setattr(shakespeare, "prepare_nanogpt", lambda *given: tmp_path)
    monkeypatch.setattr(shakespeare, "run_nanogpt", run("nanogpt", 2.0))
    monkeypatch.setattr(shakespeare, "run_zoo", run("zoo", 1.0))
    start(shakespeare, monkeypatch, "--nanogpt clone --text input.txt --seeds 2")
    assert order == ["nanogpt", "zoo", "zoo", "nanogpt"]
    assert "time, zoo / nanogpt: median 0.500 [0.500 to 0.500]" in capsys.readouterr().out


def test_a_command_that_fails_is_told_with_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"(?s)failed:.*ZeroDivisionError"):
        shakespeare.run([sys.executable, "-c", "1 / 0"], tmp_path)


# ---------------------------------------------------------------------------------------------------------------- steps


def tiny(case: steps.Case, length: int) -> steps.Case:
    """The case with one layer of 64 numbers and 50 tokens, on both sides."""
    sizes = {"dim": 64, "num_layers": 1, "num_heads": 2, "feed_forward_dim": 256, "vocab_size": 50}
    theirs = {"n_embd": 64, "n_layer": 1, "n_head": 2, "hidden_size": 64, "num_hidden_layers": 1, "vocab_size": 50}
    theirs |= {"num_attention_heads": 2, "num_key_value_heads": 2, "intermediate_size": 256}
    changes = {**case.changes, **sizes, **({"num_kv_heads": 2} if "num_kv_heads" in case.changes else {})}
    config = {name: theirs.get(name, value) for name, value in case.config.items()}
    return case._replace(changes=changes, config=config, shape=(2, length))


@pytest.mark.parametrize("name", ["gpt-256", "llama", "bert"])
def test_both_sides_of_a_step_train_as_many_numbers_from_as_much_loss(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("transformers")
    monkeypatch.setitem(steps.CASES, name, tiny(steps.CASES[name], 32))
    sides = {}
    for side in steps.SIDES:
        start(steps, monkeypatch, f"--side {side} --cases {name} --steps 1")
        sides[side] = json.loads(capsys.readouterr().out)
    assert len({side["parameters"] for side in sides.values()}) == 1
    for side in sides.values():
        assert len(side["seconds"]) == 1
        assert len(side["losses"]) == 1 + steps.WARM_UP
        assert side["losses"][0] == pytest.approx(3.9, abs=0.5)  # ln 50: nothing is known yet
        assert side["peak_mib"] > 1


def answering(parameters: dict[str, int], calls: list[str]) -> Any:
    """Stands for subprocess.run: each side at once says what it would."""

    def run(command: list[str], **_: Any) -> Any:
        side = command[command.index("--side") + 1]
        calls.append(side)
        seconds = [1.0, 3.0, 2.0] if side == "zoo" else [4.0]
        answer = {"parameters": parameters[side], "seconds": seconds, "peak_mib": 100, "losses": []}
        return SimpleNamespace(returncode=0, stdout=json.dumps(answer), stderr="")

    return run


def test_steps_take_turns_and_divide_neighbours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(steps.subprocess, "run", answering(dict.fromkeys(steps.SIDES, 7), calls))
    start(steps, monkeypatch, "--cases bert --rounds 2")
    assert calls == ["zoo", "transformers", "transformers", "zoo"]
    row = capsys.readouterr().out.splitlines()[-1]
    assert row.startswith("| bert | 2.000 | 4.000 | 0.500 [0.500 to 0.500] | 100 | 100 | 1.000 ")


def test_steps_of_models_that_differ_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps.subprocess, "run", answering({"zoo": 7, "transformers": 8}, []))
    with pytest.raises(SystemExit, match="the models differ"):
        start(steps, monkeypatch)


# ----------------------------------------------------------------------------------------------------------- generation


@pytest.mark.parametrize("name", ["nano", "t5-small"])
def test_both_sides_write_the_same_tokens(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("transformers")
    small = {"nano": {"n_layer": 1}, "t5-small": {"num_layers": 1, "d_model": 64, "d_ff": 64, "vocab_size": 50}}
    case = generation.CASES[name]
    monkeypatch.setitem(generation.CASES, name, case._replace(config={**case.config, **small[name]}))
    monkeypatch.setattr(generation, "reading_rate", lambda: 1e9)
    told = {}
    for side in generation.SIDES:
        start(generation, monkeypatch, f"--side {side} --cases {name} --rows 2 --new 6 --calls 1")
        told[side] = json.loads(capsys.readouterr().out)
    assert told["zoo"]["written"] == told["transformers"]["written"]
    assert [len(row) for row in told["zoo"]["written"]] == [6, 6]
    assert told["zoo"]["floor"] > 0


def test_generation_takes_turns_beside_the_better_cache(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[tuple[str, str]] = []

    def run(command: list[str], **_: Any) -> Any:
        side, cache = (command[command.index(name) + 1] for name in ("--side", "--cache"))
        calls.append((side, cache))
        seconds = {"zoo": 1.0, "dynamic": 3.0, "static": 2.0}[side if side == "zoo" else cache]
        answer = {"seconds": seconds, "written": [[1, 2 if side == "zoo" else 3]] * 2, "floor": 0.1}
        return SimpleNamespace(returncode=0, stdout=json.dumps(answer), stderr="")

    monkeypatch.setattr(generation.subprocess, "run", run)
    start(generation, monkeypatch, "--cases nano --rows 2 --rounds 2 --new 2")
    tried = [("transformers", "dynamic"), ("transformers", "static")]
    assert calls == [*tried, ("zoo", "static"), tried[1], tried[1], ("zoo", "static")]
    row = capsys.readouterr().out.splitlines()[-1]
    assert row == "| nano | 2 | 4 | 2 (static) | 2.00 [2.00 to 2.00] | 100.00 | 500.00 | 20% | 50% |"
