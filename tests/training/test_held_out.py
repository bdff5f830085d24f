"""Evaluation of a folder: which model, which text."""

import json
from pathlib import Path

import pytest
import torch

import zoo
from tests.cli.tiny import Workshop
from zoo.errors import ConfigError
from zoo.loading import load
from zoo.training.held_out import evaluate, evaluation_config, find_device


def test_a_run_its_step_and_its_model_are_one(workshop: Workshop) -> None:
    run = workshop.run("decoder")
    step = run / "checkpoints" / "step-4"
    losses = {evaluate(folder).loss for folder in (run, step, step / "model")}
    assert len(losses) == 1


def test_batches_change_nothing(workshop: Workshop) -> None:
    run = workshop.run("decoder")
    one = evaluate(run, "trainer.validation_batch_size=1").loss
    assert one == pytest.approx(evaluate(run).loss, rel=1e-6)


def test_other_text_with_the_models_own_tokenizer(workshop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("\n\n".join(f"{n} other words" * 9 for n in range(40)), encoding="utf-8")
    other = evaluate(workshop.run("decoder"), f"data.source.path={tmp_path / 'other.txt'}")
    assert other.loss != evaluate(workshop.run("decoder")).loss
    config, _ = evaluation_config(other.model, [])
    assert config.tokenizer.kind == "file"


def test_other_text_is_measured_whole_unless_a_share_is_named(workshop: Workshop, tmp_path: Path) -> None:
    path = tmp_path / "other.txt"
    path.write_text("\n\n".join(f"{n} other words" * 9 for n in range(40)), encoding="utf-8")
    run, other = workshop.run("decoder"), f"data.source.path={path}"
    whole = evaluate(run, other)
    assert (whole.is_whole, whole.documents, whole.text) == (True, 40, str(path))
    assert evaluate(run, other, "data.validation_fraction=1") == whole
    part = evaluate(run, other, "data.validation_fraction=0.2")
    assert not part.is_whole
    assert 0 < part.documents < 40
    assert part.rows < whole.rows


def test_own_text_is_held_out_unless_all_of_it_is_asked_for(workshop: Workshop) -> None:
    run = workshop.run("decoder")
    own = evaluate(run)
    assert not own.is_whole
    assert evaluate(run, f"data.source.path={workshop.folder / 'text.txt'}") == own
    whole = evaluate(run, "data.validation_fraction=1.0")
    assert (whole.is_whole, whole.documents) == (True, 60)
    assert own.documents < 60


@pytest.mark.parametrize("fraction", ["1.5", "-1", "true"])
def test_share_that_is_none_is_refused(workshop: Workshop, fraction: str) -> None:
    with pytest.raises(ConfigError, match="validation_fraction"):
        evaluate(workshop.run("decoder"), f"data.validation_fraction={fraction}")


def test_model_of_no_run_needs_to_be_told_what_to_measure(workshop: Workshop, tmp_path: Path) -> None:
    run = workshop.run("decoder")
    zoo.save(load(run), tmp_path / "alone")
    with pytest.raises(ConfigError, match=r"belongs to no run.*causal_lm"):
        evaluate(tmp_path / "alone")
    settings = [
        "objectives.causal_lm.kind=causal_lm",
        f"data={{source: {{kind: text, path: {workshop.folder / 'text.txt'}, document: blank_line}}}}",
        "data.validation_fraction=0.2",
    ]
    alone = evaluate(tmp_path / "alone", *settings)
    assert alone.loss == pytest.approx(evaluate(run).loss, rel=1e-6)


def test_a_hugging_face_folder_without_a_padding_token_is_measured(workshop: Workshop, tmp_path: Path) -> None:
    """As published GPT-2 and Llama models: what is padded is not scored, so the loss is that of the run."""
    folder = tmp_path / "theirs"
    zoo.export(load(workshop.run("decoder")), folder)
    for path in folder.glob("*config.json"):
        said = json.loads(path.read_text(encoding="utf-8"))
        kept = {name: value for name, value in said.items() if not name.startswith("pad_token")}
        path.write_text(json.dumps(kept), encoding="utf-8")
    assert "padding" not in load(folder).tokenizer.roles
    settings = [
        "objectives.causal_lm={kind: causal_lm, packing: none}",
        f"data={{source: {{kind: text, path: {workshop.folder / 'text.txt'}, document: blank_line}}}}",
        "data.validation_fraction=0.2",
    ]
    own = evaluate(workshop.run("decoder"), *settings[:1])
    assert evaluate(folder, *settings).loss == pytest.approx(own.loss, rel=1e-5)


@pytest.mark.parametrize("precision, tolerance", [("64-true", 1e-4), ("bf16-mixed", 0.05)])
def test_precision(workshop: Workshop, precision: str, tolerance: float) -> None:
    loss = evaluate(workshop.run("decoder"), f"trainer.precision={precision}").loss
    full = evaluate(workshop.run("decoder")).loss
    assert loss == pytest.approx(full, rel=tolerance)
    assert loss != full


@pytest.mark.parametrize("key", ["model.dim=8", "seed=3", "tokenizer=bytes", "trainer.batch_size=2", "name=other"])
def test_what_belongs_to_training_cannot_be_changed(workshop: Workshop, key: str) -> None:
    with pytest.raises(ConfigError, match="cannot be changed in an evaluation"):
        evaluate(workshop.run("decoder"), key)


@pytest.mark.parametrize(
    "setting, meant",
    [("dta.x=1", "data"), ("objectivs.x=1", "objectives"), ("trainer.precison=64-true", "precision")],
)
def test_what_is_misspelt_is_told_first(workshop: Workshop, setting: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown key .*did you mean {meant!r}"):
        evaluate(workshop.run("decoder"), setting)


def test_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert find_device("auto") == find_device("cpu") == torch.device("cpu")
    with pytest.raises(ConfigError, match="not there"):
        find_device("gpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert find_device("auto") == find_device("gpu") == torch.device("cuda")


def test_a_model_at_hand_is_refused_with_what_to_do(workshop: Workshop) -> None:
    with pytest.raises(ConfigError, match=r"takes the folder of a model, not a Pretrained; zoo\.save\(model, folder\)"):
        evaluate(load(workshop.run("decoder")))  # type: ignore[arg-type]
