"""What a run costs, from its config."""

import torch

from tests.training.tiny import tiny_run
from zoo.models.anatomy import empty_model
from zoo.models.flops import RowShape, training_flops
from zoo.training.cost import load, ranks, row_shapes, run_cost
from zoo.training.run import prepare
from zoo.training.shipped import load_run


def test_rows_of_objectives_that_work_together(tmp_path) -> None:
    config = tiny_run(tmp_path, "bert")
    assert row_shapes(config) == {RowShape(40, 0, 0.15 * 40): 1.0}


def test_rows_of_objectives_that_take_turns(tmp_path) -> None:
    config = tiny_run(tmp_path, "shares")
    assert row_shapes(config) == {RowShape(40, 0, 0.15 * 40): 0.6, RowShape(40, 0, 0.0): 0.4}


def test_rows_of_span_corruption_are_those_of_the_run(tmp_path) -> None:
    for settings in ((), ("objectives.span_corruption.target_length=20",)):
        config = tiny_run(tmp_path, "t5", *settings)
        part = prepare(config).training.collate(*2 * (torch.zeros(1, dtype=torch.int64).numpy(),))[0]
        (shape,) = row_shapes(config)
        assert (shape.length, shape.decoder_length) == tuple(
            part.batch.inputs[name].shape[1] for name in ("tokens", "decoder_tokens")
        )
        assert shape.scored == shape.decoder_length


def test_cost_is_rows_times_their_own(tmp_path) -> None:
    config = load_run("gpt-nano", ["model.vocab_size=512", "trainer.max_steps=200", "trainer.batch_size=6"]).config
    model = empty_model(config.model)
    cost = run_cost(config, model)
    assert cost.tokens == 200 * 6 * 128
    assert cost.flops == 1200 * training_flops(model, RowShape(128, 0, 128.0))
    assert cost.hours(cost.flops) == 1 / 3600


def test_load_is_a_share_of_a_step(tmp_path) -> None:
    config = tiny_run(tmp_path, "bert", "trainer.batch_size=24", "trainer.devices=2", "trainer.num_nodes=3")
    assert ranks(config) == 6
    told = load(config, 2, "cuda")
    assert (told.rows, told.microbatches, told.segments, told.device) == (2, 2, True, "cuda")
    assert not load(tiny_run(tmp_path, "gpt"), 1, "cpu").segments
