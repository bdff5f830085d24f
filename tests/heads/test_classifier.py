"""The output layer of labelled tasks equals its formula, and its classes have names."""

import pytest
import torch

from zoo.errors import ConfigError
from zoo.heads import HeadShape
from zoo.heads.classifier import Classifier, LabelledConfig
from zoo.heads.transform import TransformConfig
from zoo.nn.linear import Embedding, Site
from zoo.nn.norm import LayerNormConfig

SHAPE = HeadShape(4, 7, Embedding(7, 4, site=Site("token_embedding")), LayerNormConfig())


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("transform", [None, TransformConfig(), TransformConfig(bias=False, norm=True)])
def test_formula(transform: TransformConfig | None, bias: bool) -> None:
    module = Classifier(LabelledConfig(transform=transform, bias=bias), SHAPE, 3).double().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()
    hidden = torch.randn(2, 5, 4, dtype=torch.float64)
    features = hidden if transform is None else module.transform(hidden)
    expected = features @ module.output.weight.T + (module.output.bias if bias else 0)
    torch.testing.assert_close(module(hidden), expected)
    assert (module.output.bias is not None) == bias


def test_names_do_not_depend_on_dropout() -> None:
    names = [
        [*Classifier(LabelledConfig(transform=TransformConfig(dropout=p), dropout=p), SHAPE, 3).state_dict()]
        for p in (0.0, 0.5)
    ]
    assert names[0] == names[1] == ["transform.dense.weight", "transform.dense.bias", "output.weight", "output.bias"]


def test_classes_by_name_or_number() -> None:
    assert (LabelledConfig(labels=3).num_labels, LabelledConfig(labels=("a", "b")).num_labels) == (3, 2)
    assert LabelledConfig(labels=2).label_names == ("LABEL_0", "LABEL_1")
    assert LabelledConfig(labels=("a", "b")).label_names == ("a", "b")


@pytest.mark.parametrize(
    "labels, reason", [((), "has no entry"), (("a", "b", "a"), "names 'a' more than once"), (0, "at least 1")]
)
def test_classes_that_are_refused(labels: tuple[str, ...] | int, reason: str) -> None:
    with pytest.raises(ConfigError, match=f"^labels: .*{reason}"):
        LabelledConfig(labels=labels)
