"""The classes of labelled heads: their names both ways, and the dropout before them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

import zoo
from zoo.errors import ConfigError
from zoo.interop import read_config, write_config
from zoo.interop.labels import PROBLEMS, SINGLE, read_labels, write_labels
from zoo.models.create import model_config


@pytest.mark.parametrize(
    "changes, key",
    [
        ({"id2label": {0: "a", 2: "b"}}, "id2label"),
        ({"id2label": {0: "a", 1: "a"}}, "heads.sequence_classification.labels"),
        ({"id2label": {0: "a", 1: 3}}, "id2label"),
        ({"id2label": ["a", "b"]}, "id2label"),
        ({"id2label": {"0": "a", "1": "b"}, "num_labels": 3}, "num_labels"),
    ],
)
def test_classes_that_are_refused(changes: dict[str, object], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config("bert", {"architectures": ["BertForSequenceClassification"], **changes})
    assert caught.value.key == key


@pytest.mark.parametrize("problem", [*PROBLEMS, None])
@pytest.mark.parametrize("name, of", [("bert", "Bert"), ("llama", "Llama"), ("bart", "Bart")])
def test_what_a_classifier_is_trained_for_changes_no_logit(name: str, of: str, problem: str | None) -> None:
    given = {"architectures": [f"{of}ForSequenceClassification"], "num_labels": 3}
    assert read_config(name, {**given, "problem_type": problem}) == read_config(name, given)


@pytest.mark.parametrize("problem", ["ranking", 3, ["regression"]])
def test_a_problem_that_is_none_is_refused(problem: object) -> None:
    with pytest.raises(ConfigError, match="is no problem of classes; it must be 'single_label_classification', 'mu"):
        read_config("bert", {"architectures": ["BertForSequenceClassification"], "problem_type": problem})
    assert read_config("bert", {"architectures": ["BertModel"], "problem_type": problem})  # which reads none


PUBLISHED: dict[str, dict[str, Any]] = {
    "of one class, no word on its problem": {"id2label": {0: "LABEL_0"}, "label2id": {"LABEL_0": 0}},
    "several classes may be right": {"num_labels": 3, "problem_type": "multi_label_classification"},
    "numbers": {"num_labels": 2, "problem_type": "regression"},
    "one class is right": {"num_labels": 2, "problem_type": SINGLE},
}


@pytest.mark.parametrize("kind", PUBLISHED)
def test_a_folder_of_a_classifier_comes_back(kind: str, tmp_path: Path) -> None:
    """Of cross-encoders (MS MARCO), toxic-bert, STS: logits as they are there, and the config says the same again."""
    sizes = {"vocab_size": 40, "hidden_size": 16, "intermediate_size": 16, "max_position_embeddings": 16}
    config = BertConfig(**sizes, num_hidden_layers=1, num_attention_heads=2, **PUBLISHED[kind])
    theirs = BertForSequenceClassification(config).eval()
    theirs.save_pretrained(tmp_path / "theirs")
    opened = zoo.load(tmp_path / "theirs")
    tokens = torch.arange(6)[None]
    found = opened.model(tokens=tokens)["sequence_classification"]
    torch.testing.assert_close(found, theirs(tokens).logits, rtol=1e-4, atol=1e-5)
    zoo.save(opened, tmp_path / "ours")
    zoo.export(tmp_path / "ours", tmp_path / "again")
    before, after = (BertConfig.from_pretrained(tmp_path / one) for one in ("theirs", "again"))
    for name in ("problem_type", "num_labels", "id2label", "label2id"):
        assert getattr(after, name) == getattr(before, name)
    again = BertForSequenceClassification.from_pretrained(tmp_path / "again")
    assert torch.equal(again(tokens).logits, theirs(tokens).logits)


def test_what_our_classifiers_are_for_is_said() -> None:
    given = {"architectures": ["BertForSequenceClassification"], "num_labels": 1, "problem_type": SINGLE}
    written = write_config("bert", read_config("bert", given))
    assert (written["problem_type"], [*written["id2label"]]) == (SINGLE, ["0"])
    assert "problem_type" not in write_config(
        "bert", read_config("bert", {"architectures": ["BertForTokenClassification"]})
    )


def test_spans_have_a_begin_and_an_end() -> None:
    with pytest.raises(ConfigError, match="id2label: 3 classes are not covered"):
        read_config("bert", {"architectures": ["BertForQuestionAnswering"], "num_labels": 3})


def test_classes_without_names() -> None:
    given = {"architectures": ["BertForTokenClassification"], "num_labels": 3}
    config = read_config("bert", given)
    assert config.heads["token_classification"].labels == 3  # type: ignore[attr-defined]
    assert write_config("bert", config)["id2label"] == {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}
    assert [*read_config("bert", {"architectures": ["BertModel"], "id2label": {"0": "a"}}).heads] == ["pooler"]


def test_a_model_without_such_a_head_has_no_classes() -> None:
    assert write_labels(model_config("bert-nano")) == {}
    assert read_labels("language_model", {"id2label": {"0": "a"}}) == {}


@pytest.mark.parametrize(
    "given, expected", [({}, 0.25), ({"classifier_dropout": None}, 0.25), ({"classifier_dropout": 0.0}, 0.0)]
)
@pytest.mark.parametrize("name", ["BertForSequenceClassification", "BertForTokenClassification"])
def test_the_dropout_is_that_of_hidden_states_where_it_is_not_given(
    name: str, given: dict[str, float | None], expected: float
) -> None:
    config = read_config("bert", {"architectures": [name], "hidden_dropout_prob": 0.25, **given})
    (head,) = config.heads.values()
    assert head.dropout == expected  # type: ignore[attr-defined]
    assert write_config("bert", config)["classifier_dropout"] == expected
    assert "classifier_dropout" not in write_config("bert", read_config("bert", {"architectures": ["BertModel"]}))


def test_roberta_drops_before_its_dense_layer_too() -> None:
    given = {"architectures": ["RobertaForSequenceClassification"], "classifier_dropout": 0.3}
    config = read_config("roberta", given)
    assert config.heads["sequence_classification"].transform.dropout == 0.3  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match=r"^heads\.sequence_classification\.transform\.dropout: roberta has no place"):
        write_config("roberta", model_config(config, heads={"sequence_classification": {"dropout": 0.2}}))
