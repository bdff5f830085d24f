"""What the model writes at each validation."""

import contextlib
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.data.synthetic import documents_of
from tests.training.tiny import DROPOUT, ENCODERS, FULL, KINDS, same, tiny_run, weights
from zoo.errors import CheckpointError, ConfigError
from zoo.loading import load
from zoo.training.run import Prepared, prepare, pretrain
from zoo.training.samples import Samples, SamplesConfig, SamplesFile, in_one_line, make_samples, pieces, read_samples

OFF = "samples.count=0"


def samples_of(prepared: Prepared) -> Samples:
    samples = make_samples(prepared.config.samples, prepared.module.model, prepared.corpus)
    assert samples is not None
    return samples


@pytest.mark.parametrize("kind", KINDS)
def test_run_writes_them_at_each_validation_and_is_the_same(kind: str, tmp_path: Path) -> None:
    """Neither the weights nor torch's random stream know of them."""
    settings = (*DROPOUT, "trainer.validate_every=3")
    short = () if kind in ENCODERS else ("samples.max_new_tokens=5",)
    plain = pretrain(tiny_run(tmp_path, kind, *settings, OFF), tmp_path / "plain").folder
    run = pretrain(tiny_run(tmp_path, kind, *settings, *short), tmp_path / "run").folder
    assert same(weights(run), weights(plain))
    assert read_samples(plain / "samples.jsonl") == []
    found = read_samples(run / "samples.jsonl")
    assert [row["step"] for row in found] == [3, 3, 3, 4, 4, 4]
    assert [row["prompt"] for row in found[:3]] == [row["prompt"] for row in found[3:]]
    assert all(row["truth"] for row in found)
    # the last ones are what the finished model writes
    model = load(run)
    for row in found[3:]:
        if kind in ("gpt", "experts"):
            assert model.generate(row["prompt"], max_new_tokens=5) == row["output"]
        else:
            assert model.fill(row["prompt"]).blanks
    if kind == "bert":
        assert [model.fill(row["prompt"], top=1).text for row in found[3:]] == [row["output"] for row in found[3:]]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("training", [True, False])
def test_leave_no_trace(kind: str, training: bool, tmp_path: Path) -> None:
    prepared = prepare(tiny_run(tmp_path, kind, *DROPOUT), progress=False)
    samples, module = samples_of(prepared), prepared.module
    module.train(training)
    stream, before = torch.get_rng_state(), {name: each.clone() for name, each in module.state_dict().items()}
    first = list(samples.write(contextlib.nullcontext))
    assert list(samples.write(contextlib.nullcontext)) == first
    assert all(each.training == training for each in module.modules())
    assert torch.equal(torch.get_rng_state(), stream)
    assert same(dict(module.state_dict()), before)


def test_prompts_of_ones_own_come_first(tmp_path: Path) -> None:
    config = tiny_run(tmp_path, "gpt", "samples.prompts=['The list', 'Words']", "samples.count=1")
    found = list(samples_of(prepare(config, progress=False)).write(contextlib.nullcontext))
    assert [row["prompt"] for row in found[:2]] == ["The list", "Words"]
    assert ["truth" in row for row in found] == [False, False, True]


@pytest.mark.parametrize(
    "kind, prompt, words",
    [
        ("bert", "no blank", r"samples\.prompts\.1: no blank in 'no blank': write \[MASK\]"),
        ("t5", "no blank", r"samples\.prompts\.1: no blank in 'no blank': write <extra_id_0>"),
        ("bert", "[MASK]" + "long " * 100, r"samples\.prompts\.1: .*"),
    ],
)
def test_prompt_that_is_none_is_refused_before_the_first_step(
    kind: str, prompt: str, words: str, tmp_path: Path
) -> None:
    good = {"bert": "a [MASK]", "t5": "a <extra_id_0>"}[kind]
    config = tiny_run(tmp_path, kind, f"samples.prompts=['{good}', '{prompt}']")
    with pytest.raises(ConfigError, match=words):
        pretrain(config, tmp_path / "run")
    assert not (tmp_path / "run" / "metrics.csv").exists()


@given(
    lengths=st.lists(st.integers(1, 9), max_size=12),
    count=st.integers(0, 6),
    length=st.integers(1, 12),
    gap=st.integers(0, 2),
)
def test_pieces_are_of_the_text_and_all_different(lengths: list[int], count: int, length: int, gap: int) -> None:
    ends = np.cumsum([0, *lengths])
    texts = [list(range(start, stop)) for start, stop in itertools.pairwise(ends)]
    found = [piece.tolist() for piece in pieces(documents_of(texts, gap=gap), count, length)]
    assert len(found) == min(count, sum(lengths))
    assert len({piece[0] for piece in found}) == len(found)
    for piece in found:
        (text,) = (text for text in texts if piece[0] in text)
        start = text.index(piece[0])
        assert piece == text[start : start + length]
    if len(texts) >= count:
        assert all([piece[0]] == text[:1] for piece in found for text in texts if piece[0] in text)


def test_file_goes_on_without_a_gap_or_a_duplicate(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    file = SamplesFile(path, 0)
    assert not path.exists()
    for step in (2, 4, 6):
        file.write(step, {"prompt": "a\nb", "output": "ü\u2028x"})
    with path.open("a", encoding="utf-8") as torn:
        torn.write('{"step": 8, "pro')
    assert [row["step"] for row in read_samples(path)] == [2, 4, 6]
    file = SamplesFile(path, 4)
    file.write(6, {"prompt": "new", "output": ""})
    assert read_samples(path) == [
        {"step": 2, "prompt": "a\nb", "output": "ü\u2028x"},
        {"step": 4, "prompt": "a\nb", "output": "ü\u2028x"},
        {"step": 6, "prompt": "new", "output": ""},
    ]


@pytest.mark.skipif(not FULL.exists(), reason="Linux only")
def test_full_disk_is_said_with_the_file_and_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    told = rf"cannot write {path}: No space left on device; free some space"
    file = SamplesFile(path, 0)
    path.symlink_to(FULL)
    with pytest.raises(CheckpointError, match=told):
        file.write(2, {"prompt": "a", "output": "b"})
    path.unlink()
    file.write(2, {"prompt": "a", "output": "b"})
    (tmp_path / ".samples.jsonl.tmp").symlink_to(FULL)
    with pytest.raises(CheckpointError, match=told):
        SamplesFile(path, 2)
    assert len(read_samples(path)) == 1


def test_shown_in_the_terminal_where_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for show in ("false", "true"):
        pretrain(tiny_run(tmp_path, "gpt", f"samples.show={show}", "trainer.max_steps=1"), tmp_path / show)
        assert ("sample: " in capsys.readouterr().err) == (show == "true")
    line = in_one_line({"prompt": "x\n" * 500, "output": "y"})
    assert len(line) == 160
    assert "\n" not in line


def test_model_that_cannot_write_has_none(tmp_path: Path) -> None:
    config = tiny_run(tmp_path, "bert", "objectives.masked_lm=null", "model.heads.language_model=null")
    assert pretrain(config, tmp_path / "run").steps == 4
    assert not (tmp_path / "run" / "samples.jsonl").exists()


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match="max_new_tokens"):
        SamplesConfig(max_new_tokens=0)


WRITES_NOTHING = ("objectives.masked_lm=null", "model.heads.language_model=null")


@pytest.mark.parametrize(
    "kind, settings, said",
    [
        ("gpt", ("data.validation_fraction=0", "samples.count=4"), "count: 4 .*validation_fraction is 0"),
        ("gpt", ("data.validation_fraction=0", "samples.prompts=[a]"), r"prompts: \('a',\) .*validation_fraction is 0"),
        ("gpt", ("data.validation_fraction=0", "samples.show=true"), "show: True .*validation_fraction is 0"),
        ("gpt", (OFF, "samples.show=true"), "show: True .*samples.count is 0"),
        ("gpt", (OFF, "samples.max_new_tokens=9"), "max_new_tokens: 9 .*samples.count is 0"),
        ("bert", ("samples.max_new_tokens=9",), "max_new_tokens: 9 .*an encoder writes one token in each blank"),
        ("bert", (*WRITES_NOTHING, "samples.count=4"), "count: 4 .*no head language_model"),
        ("bert", (*WRITES_NOTHING, "samples.show=true"), "show: True .*no head language_model"),
    ],
)
def test_settings_without_effect_are_refused(kind: str, settings: tuple[str, ...], said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"samples\.{said}"):
        tiny_run(tmp_path, kind, *settings)


def test_no_samples_may_be_asked_for_where_there_are_none(tmp_path: Path) -> None:
    assert tiny_run(tmp_path, "gpt", OFF, "data.validation_fraction=0").samples.count == 0
    assert tiny_run(tmp_path, "gpt", OFF, "samples.prompts=[a]", "samples.max_new_tokens=9").samples.prompts == ("a",)
