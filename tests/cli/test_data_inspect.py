"""Rows of a step on the terminal."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.cli.tiny import Command, Workshop
from zoo.cli.data_inspect import draw_rows
from zoo.training.run import _data_module, prepare
from zoo.training.shipped import load_run

FAMILIES = ["encoder", "decoder", "encoder_decoder"]


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_of_a_config_and_of_its_run_are_the_same(workshop: Workshop, command: Command, family: str) -> None:
    one = command("data", "inspect", workshop.config(family), "--step", 2)
    other = command("data", "inspect", workshop.run(family), "--step", 2)
    assert one.status == 0, one.err
    assert one.out == other.out
    assert "step 2, row 1 of 4 · " in one.out
    assert "step 2, row 3 of 4 · " in one.out
    assert "row 4" not in one.out
    assert "\x1b" not in one.out, "no colour where stdout is no terminal"


def test_a_bert_row_shows_noise_targets_segments_and_the_label_of_the_row(workshop: Workshop, command: Command) -> None:
    out = command("data", "inspect", workshop.config("encoder"), "--rows", 1).out
    assert "[CLS]" in out
    assert "[MASK]→" in out
    assert "document 1 A" in out
    assert "document 1 B" in out
    assert "B follows A" in out or "B is from another document" in out
    assert "hidden, to be named" in out


def test_a_gpt_row_shows_document_borders_and_what_is_not_scored(workshop: Workshop, command: Command) -> None:
    out = command("data", "inspect", workshop.config("decoder"), "--rows", 4, "--step", 3).out
    assert "document 1" in out
    assert "<|endoftext|>→∅" in out
    assert "nothing is predicted here" in out


def test_a_t5_row_shows_both_sides(workshop: Workshop, command: Command) -> None:
    out = command("data", "inspect", workshop.config("encoder_decoder"), "--rows", 1).out
    assert "encoder document 1" in out
    assert "decoder document 1" in out
    assert out.count("<extra_id_0>") >= 2


def test_rows_are_picked_out_of_the_step(workshop: Workshop, command: Command) -> None:
    every = command("data", "inspect", workshop.config("decoder"), "--rows", 4).out
    third = command("data", "inspect", workshop.config("decoder"), "--row", 3, "--rows", 1).out
    assert third.splitlines()[0] in every
    assert third.splitlines()[1] in every
    assert "row 4 of 4" not in third


def test_colour_where_it_is_asked_for(workshop: Workshop, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[" in command("data", "inspect", workshop.config("encoder"), "--rows", 1).out


def test_the_source_of_a_row_is_said(workshop: Workshop, command: Command, tmp_path: Path) -> None:
    text = workshop.folder / "text.txt"
    source = f"kind: text, path: {text}, document: blank_line"
    mixed = f"data.source={{kind: mixture, sources: {{a: {{{source}, share: 1}}, b: {{{source}, share: 1}}}}}}"
    out = command("data", "inspect", workshop.config("decoder"), mixed, "--rows", 4).out
    assert out.count("source a") == out.count("source b") == 2


def test_what_is_shown_is_what_the_run_trains_on(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """With rows that grow in number and in length, at every step."""
    config = load_run(
        workshop.config("encoder"),
        [
            "trainer.batch_warmup={start: 2, increment: 2, steps: 2}",
            "trainer.length_warmup={start: 24, increment: 24, steps: 3}",
        ],
    ).config
    data = _data_module(prepare(config))
    data.trainer = SimpleNamespace(
        global_rank=0, world_size=1, strategy=SimpleNamespace(root_device=torch.device("cpu")), global_step=0
    )
    dataset = data.train_dataloader().dataset
    for step, size in enumerate((2, 2, 4, 4)):
        (whole,) = (part for parts in dataset[step].microbatches for part in parts)
        _, drawn = draw_rows(config, step, 0, size)
        shown = torch.cat([part.batch.inputs["tokens"] for _, part in drawn])
        assert torch.equal(shown, whole.batch.inputs["tokens"])
        for name, label in whole.batch.labels.items():
            assert torch.equal(label, torch.cat([part.batch.labels[name] for _, part in drawn]))


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--step", 0), "--step 0 must be at least 1"),
        (("--row", 5), "--row 5 must be from 1 to 4, the rows of a step"),
        (("--rows", -1), "--rows -1 must be at least 1"),
        (("--rows", "many"), "'many' is not a whole number"),
        (("data.sauce=1",), "data.sauce: unknown key 'sauce'; did you mean 'source'"),
        (("trainer.batch_size=2", "--row", 3), "--row 3 must be from 1 to 2"),
    ],
)
def test_wrong_use_is_one_sentence(workshop: Workshop, command: Command, arguments: tuple, message: str) -> None:
    outcome = command("data", "inspect", workshop.config("decoder"), *arguments)
    assert outcome.status == 2
    assert message in outcome.err
    assert len(outcome.err.splitlines()) == 1
