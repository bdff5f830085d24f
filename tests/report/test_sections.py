"""The parts of a report."""

from pathlib import Path

import pytest

from tests.report.made_up import HOSTILE, TEXT, add_samples, made_up_run
from zoo.report import sections
from zoo.report.folder import Run, read_run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return read_run(made_up_run(tmp_path / "gpt"))


def words(node) -> str:
    return " ".join(" ".join(node.itertext()).split())


def test_summary_has_what_is_looked_for_first(run: Run) -> None:
    said = words(sections.summary(run))
    for name in ("validation loss", "training loss", "steps 399", "tokens 409k", "2 min 4 s", "tokens/s", "MFU"):
        assert name in said


def test_model_is_built_with_the_vocabulary_of_the_text(run: Run) -> None:
    model, reason = sections.find_model(run)
    assert reason == ""
    assert model.config.vocab_size == TEXT["vocabulary"]
    assert "× 3" in words(sections.model_section(model, reason))
    assert f"{model.num_parameters:,}" in words(sections.cost_section(model, run))


@pytest.mark.parametrize(
    "changes, said",
    [
        ({}, "does not say which model"),
        ({"model": {"kind": "decoder", "dim": 32, "positions": "kerple"}}, "unknown positions 'kerple'"),
        ({"model": 5}, "must be a group of settings"),
    ],
)
def test_model_that_cannot_be_drawn_says_why(run: Run, changes: dict, said: str) -> None:
    settings = {key: value for key, value in run.config.items() if key != "model"}
    model, reason = sections.find_model(run._replace(config=settings | changes))
    assert model is None
    assert said in reason
    assert said in words(sections.model_section(model, reason))


def test_own_blocks_that_are_missing_are_named(run: Run) -> None:
    imports = [{"file": "my_blocks.py", "sha256": "0" * 64}]
    config = {**run.config, "model": {"kind": "decoder", "positions": "kerple"}}
    _, reason = sections.find_model(run._replace(config=config, environment={"imports": imports}))
    assert "my_blocks.py" in reason
    assert "--import" in reason


def test_model_whose_vocabulary_is_not_known(run: Run) -> None:
    model, reason = sections.find_model(run._replace(text={}))
    assert model is None
    assert "no checkpoint" in reason or "holds no model" in reason


def test_data(run: Run) -> None:
    said = words(sections.data_section(run))
    for part in ("900", "120,000", "3.100 nats", "257 entries, 180 occur", "path=books", "17 %"):
        assert part in said


def test_documents_read_and_dropped_are_told_by_source_and_reason(run: Run) -> None:
    dropped = {"empty": 2, "too_short": 0, "duplicate": 31, "no_tokens": 0}
    whole = {"documents": 1_000, "kept": 967, "dropped": dropped}
    said = words(sections.data_section(run._replace(text=run.text | {"read": {"": whole}})))
    assert "documents read kept dropped empty equal to an earlier one all text 1,000 967 33 2 31" in said
    assert "too short" not in said, "a reason for which nothing was dropped"
    other = {"documents": 50, "kept": 50, "dropped": dict.fromkeys(dropped, 0)}
    said = words(sections.data_section(run._replace(text=run.text | {"read": {"books": whole, "web": other}})))
    assert "books 1,000 967 33 2 31 web 50 50 0 0 0" in said
    assert "read" not in run.text, "an older run, which does not know"
    assert "kept" not in words(sections.data_section(run))


@pytest.mark.parametrize("text", [{}, {"training": 5}, {"training": {"documents": 1}}])
def test_text_that_is_not_known_or_damaged(run: Run, text: dict) -> None:
    said = words(sections.data_section(run._replace(text=text)))
    assert "data.json" in said


def test_samples_newest_first_and_whole(run: Run) -> None:
    add_samples(run.folder)
    section = sections.samples_section(read_run(run.folder))
    folds = section.findall("details")
    assert [fold.find("summary").text for fold in folds] == ["step 400", "step 200"]
    assert [bool(fold.get("open")) for fold in folds] == [True, False]
    assert len(folds[0].findall("blockquote")) == len(HOSTILE) + 1


def test_what_is_not_there_says_so(run: Run) -> None:
    assert "no samples" in words(sections.samples_section(run))
    assert "because" in words(sections.attention_section([], "because"))
    assert "no environment.json" in words(sections.environment_section(run._replace(environment={})))
    assert "no config.yaml" in words(sections.config_section(run._replace(config_text="")))


def test_source_is_told_by_what_is_not_as_ever(run: Run) -> None:
    source = {"kind": "text", "path": "books", "document": "file", "filter": {"minimum_characters": 7}}
    said = words(sections.data_section(run._replace(config={**run.config, "data": {"source": source}})))
    assert "text, path=books, filter.minimum_characters=7" in said
    assert "document=" not in said
    own = {"kind": "my_own", "level": 3}
    assert "my_own, level=3" in words(sections.data_section(run._replace(config={"data": {"source": own}})))


def test_origin(run: Run) -> None:
    said = words(sections.environment_section(run._replace(origin={"branched": {"run": "runs/a", "step": 20}})))
    assert "Where it came from branched.run runs/a branched.step 20" in said
    twice = [{"step": 4, "from": "max_steps=4", "to": "max_steps=6"}, {"step": 6, "from": "max_steps=6", "to": "8"}]
    said = words(sections.environment_section(run._replace(origin={"extended": twice})))
    assert "extended at step 4 max_steps=4 became max_steps=6 extended at step 6 max_steps=6 became 8" in said
    assert "came from" not in words(sections.environment_section(run))


def test_environment(run: Run) -> None:
    said = words(sections.environment_section(run))
    assert "torch 2.13" in said
    assert "devices cpu" in said


def test_each_source_of_a_mixture_is_told_without_what_is_as_ever(run: Run) -> None:
    plain = {"kind": "text", "path": "a.txt", "share": 3.0, "filter": {"deduplicate": False}, "document": "file"}
    source = {"kind": "mixture", "sources": {"books": plain, "web": {"kind": "jsonl", "path": "b", "field": "body"}}}
    said = words(sections.data_section(run._replace(config={**run.config, "data": {"source": source}})))
    assert "mixture; books: text, path=a.txt, share=3.0; web: jsonl, path=b, field=body" in said
