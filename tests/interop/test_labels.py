"""The classes of labelled heads: their names both ways, and the dropout before them."""

import pytest

from zoo.errors import ConfigError
from zoo.interop import read_config, write_config
from zoo.interop.labels import SINGLE, read_labels, write_labels
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


@pytest.mark.parametrize(
    "changes",
    [
        {"problem_type": "regression"},
        {"problem_type": "multi_label_classification"},
        {"problem_type": 3},
        {"num_labels": 1},
        {"id2label": {"0": "score"}, "problem_type": None},
    ],
)
@pytest.mark.parametrize("name, of", [("bert", "Bert"), ("llama", "Llama"), ("bart", "Bart")])
def test_another_loss_than_ours_is_refused(name: str, of: str, changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=f"it must be '{SINGLE}'") as caught:
        read_config(name, {"architectures": [f"{of}ForSequenceClassification"], **changes})
    assert caught.value.key == "problem_type"
    assert read_config(name, {"architectures": [f"{of}Model"], **changes})  # which reads none of them


def test_our_loss_is_said() -> None:
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
