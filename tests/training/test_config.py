"""The config of a run: what goes together, and what is refused by name."""

from dataclasses import fields
from pathlib import Path

import pytest

from tests.training.tiny import KINDS, tiny_run
from zoo.config import flatten, to_mapping
from zoo.errors import ConfigError
from zoo.training.config import HARMLESS, TrainerConfig
from zoo.training.schedule import LinearConfig


@pytest.mark.parametrize(
    "kind, settings, words",
    [
        ("gpt", ["name=a/b"], "name: 'a/b' cannot name a folder"),
        ("gpt", ["name=.."], "name: '..' cannot name a folder"),
        ("gpt", ["name=''"], "name: '' cannot name a folder"),
        ("gpt", [f"name={'x' * 201}"], "not more than 200"),
        ("gpt", ["trainer.batch_size=9", "trainer.accumulate=2"], "trainer.batch_size: 9 rows .* multiple of 2"),
        ("gpt", ["trainer.devices=3"], "trainer.batch_size: 8 rows .* 3 microbatches"),
        ("gpt", ["trainer.num_nodes=3"], "multiple of 3"),
        ("gpt", ["schedule.warmup_steps=5"], "schedule.warmup_steps: 5 steps are more than max_steps=4"),
        ("gpt", ["objectives={mlm: {kind: masked_lm}}"], "objectives.mlm: .* does not fit the family decoder"),
        ("gpt", ["objectives.causal_lm=null"], "objectives: a run needs an objective"),
        ("bert", ["objectives.next_sentence=null"], "model.heads.next_sentence: no objective trains this head"),
        ("gpt", ["trainer.precision=16-true"], "trainer.precision: .*16-true.*32-true"),
        ("gpt", ["trainer.recompute=block"], "trainer.recompute.*unknown recomputation 'block'; did you mean 'blocks'"),
        ("gpt", ["trainer.recompute={kind: blocks, every: 0}"], r"trainer\.recompute\.every: 0"),
        ("gpt", ["trainer.recompute={kind: attention, every: 2}"], r"trainer\.recompute\.every: unknown attention"),
        ("gpt", ["trainer.max_steps=0"], "trainer.max_steps"),
        ("gpt", ["trainer.max_steps=1.5"], "trainer.max_steps"),
        ("gpt", ["trainer.gradient_clip=0"], "trainer.gradient_clip"),
        ("gpt", ["optimizer.learning_rate=.nan"], "optimizer.learning_rate"),
        ("gpt", ["seed=-1"], "seed"),
        ("gpt", ["trainer.batchsize=8"], "batch_size"),
        ("gpt", ["model.norm={kind: batch_norm}", "trainer.accumulate=2"], r"accumulate: 2 .*model\.norm: batch_norm"),
        ("gpt", ["model.norm={kind: batch_norm}", "trainer.devices=2"], r"trainer\.devices: 2 .*model\.norm"),
        (
            "experts",
            ["model.feed_forward.router.balancing=loss", "trainer.accumulate=2"],
            r"accumulate: 2 .*model\.feed_forward\.router\.balancing: loss has a loss on the loads of all tokens",
        ),
        (
            "experts",
            ["model.feed_forward.router.balancing=loss", "trainer.devices=2"],
            r"trainer\.devices: 2 .*balancing",
        ),
        ("gpt", ["model.max_length=2"], "model.max_length: 2 is too short for causal_lm: it needs 3 at least"),
        ("bert", ["model.max_length=4"], "model.max_length: 4 is too short for next_sentence"),
        ("t5", ["model.max_length=4"], "model.max_length: 4 is too short for span_corruption"),
        ("bert", ["model.embedding.num_segments=1"], "model.embedding.num_segments: 1 .* next_sentence.* set 2"),
        ("bert", ["model.embedding.num_segments=0"], "model.embedding.num_segments: 0 .* next_sentence.* set 2"),
        ("gpt", ["model.norm={kind: batch_norm}", "trainer.num_nodes=2"], r"trainer\.num_nodes: 2 .*model\.norm"),
    ],
)
def test_what_does_not_go_together(kind: str, settings: list[str], words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=words):
        tiny_run(tmp_path, kind, *settings)


@pytest.mark.parametrize("name", ["a", "gpt-nano+rope=1", "_x", "3.5", "x" * 200])
def test_names_of_folders(name: str, tmp_path: Path) -> None:
    assert tiny_run(tmp_path, "gpt", f"name='{name}'").name == name


@pytest.mark.parametrize("kind", KINDS)
def test_harmless_keys_exist(kind: str, tmp_path: Path) -> None:
    keys = flatten(to_mapping(tiny_run(tmp_path, kind)))
    assert all(any(f"{key}.".startswith(f"{harmless}.") for key in keys) for harmless in HARMLESS)


def test_what_decides_the_weights_is_not_harmless() -> None:
    for key in ("max_steps", "batch_size", "accumulate", "gradient_clip", "precision", "devices", "num_nodes"):
        assert f"trainer.{key}" not in HARMLESS


def test_every_field_says_what_it_is() -> None:
    assert all(field.metadata.get("doc") for field in fields(TrainerConfig))
    assert all(field.metadata.get("doc") for field in fields(LinearConfig))


def test_rows_of_a_microbatch() -> None:
    trainer = TrainerConfig(batch_size=48, accumulate=4, devices=3, num_nodes=2)
    assert trainer.microbatch_rows == 2
    assert TrainerConfig(batch_size=48, accumulate="auto").microbatch_rows == 48
