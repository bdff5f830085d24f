"""What a validation measures: names, directions, definitions."""

import math

import pytest

from zoo.objectives import CausalLMConfig, MaskedLMConfig, NextSentenceConfig, SpanCorruptionConfig
from zoo.training.measures import is_better_higher, measure_names, text_measures


def test_names() -> None:
    objectives = {"mlm": MaskedLMConfig(), "nsp": NextSentenceConfig()}
    assert [name for name in measure_names(objectives) if name.startswith("nsp")] == ["nsp/loss", "nsp/accuracy"]
    assert {"loss", "mlm/loss", "mlm/accuracy", "mlm/perplexity"} <= set(measure_names(objectives))
    assert "spans/exact_match" in measure_names({"spans": SpanCorruptionConfig()})
    by_source = measure_names({"lm": CausalLMConfig()}, ["books", "web"])
    assert {"lm/loss/books", "lm/loss/web"} <= set(by_source)
    assert len(by_source) == len(set(by_source))


@pytest.mark.parametrize(
    "metric, higher",
    [
        ("validation/loss", False),
        ("validation/lm/loss", False),
        ("validation/lm/loss/books", False),
        ("validation/lm/perplexity", False),
        ("validation/lm/bits_per_byte", False),
        ("validation/lm/accuracy", True),
        ("validation/spans/exact_match", True),
        ("validation/loss/accuracy", True),  # an objective that somebody calls "loss"
    ],
)
def test_directions(metric: str, higher: bool) -> None:
    assert is_better_higher(metric) == higher


def test_definitions() -> None:
    """A model that gives each of 8 tokens, of 2 bytes each, the probability 1/16: 4 bits a token, 2 bits a byte."""
    found = text_measures(8 * math.log(16), 8, 16)
    assert found == pytest.approx({"perplexity": 16, "bits_per_byte": 2})
    assert "bits_per_byte" not in text_measures(1.0, 1, 0)
    assert text_measures(1e6, 1, 1)["perplexity"] == math.inf
    assert text_measures(0.0, 0, 0) == {"perplexity": 1.0}
