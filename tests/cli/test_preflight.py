"""What a run would take: tokens, operations, hours, memory, and whether that fits."""

import dataclasses

import pytest

from zoo.cli.preflight import run_rows, shape_rows, size
from zoo.models.anatomy import empty_model
from zoo.models.create import model_config
from zoo.tokenizer.train import FileConfig
from zoo.training.config import RunConfig
from zoo.training.shipped import load_run

RUN = ("model.vocab_size=512", "trainer.max_steps=200", "trainer.batch_size=64")


def rows_of(*settings: str, device: str | None = None, mfu: float = 0.5, name: str = "gpt-nano") -> dict[str, str]:
    config: RunConfig = load_run(name, [*RUN, *settings]).config
    return dict(run_rows(config, empty_model(config.model), device, mfu))


def test_hours_are_operations_over_what_the_devices_do() -> None:
    rows = rows_of(device="h100")
    flops = float(rows["training FLOPs of the run"])
    hours, _, words = rows["hours"].partition(" ")
    assert float(hours) == pytest.approx(flops / (0.5 * 67e12) / 3600, rel=0.01)  # float32
    assert words == "on h100 at 50 % of 67T FLOP/s (NVIDIA H100 datasheet)"
    shared = rows_of("trainer.devices=4", device="h100")
    assert float(shared["hours"].partition(" ")[0]) == pytest.approx(float(hours) / 4, rel=0.01)
    assert " on 4 × h100 " in shared["hours"]
    lower = rows_of("trainer.precision=bf16-mixed", device="h100")
    assert "989T" in lower["hours"]


def test_initial_weights_of_another_model() -> None:
    """No setting is silent about acting on a part only: what is not drawn does not look as if it were."""
    assert "initial weights" not in rows_of(device="h100")
    config: RunConfig = load_run("gpt-nano", RUN).config
    config = dataclasses.replace(config, init_from="runs/first", tokenizer=FileConfig(path="runs/first"))
    rows = dict(run_rows(config, empty_model(config.model), "h100", 0.5))
    told = rows["initial weights"]
    assert told == "those of runs/first; model.initialization (gpt2) draws only heads that it lacks"


def test_tokens() -> None:
    rows = rows_of(device="h100")
    assert rows["rows of a step"] == "64 of 128 tokens"
    assert rows["tokens of the run"] == "1.64M in 200 steps"
    assert "64 of 128 + " in rows_of(device="h100", name="t5-nano")["rows of a step"]


def test_budgets_in_other_units_come_to_the_same() -> None:
    rows = rows_of(device="h100")
    flops = rows["training FLOPs of the run"]
    for unit, amount in {"tokens": 200 * 64 * 128, "flops": float(flops), "hours": rows["hours"].split()[0]}.items():
        other = rows_of(
            "trainer.max_steps=null", "schedule.warmup_steps=0", f"trainer.max_{unit}={amount}", device="h100"
        )
        steps = int(other["tokens of the run"].split()[2].replace(",", ""))
        assert steps == pytest.approx(200, abs=2), unit
        assert float(other["training FLOPs of the run"]) == pytest.approx(float(flops), rel=0.02)


def test_hours_need_a_device() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is one")
    settings = ("trainer.max_steps=null", "trainer.max_hours=2", "schedule.warmup_steps=0", "trainer.accelerator=gpu")
    rows = rows_of(*settings)
    assert rows["hours"].startswith("2; how many tokens that are, a device tells: there is no cuda device here")
    assert "tokens of the run" not in rows


def test_what_grows() -> None:
    warm = "trainer.batch_warmup={start: 16, increment: 16, steps: 100}"
    rows = rows_of(warm, device="h100")
    assert rows["rows of a step"] == "64 of 128 tokens, once it has grown"
    assert rows["tokens of the run"].startswith("1.23M ")  # 34 · 16 + 33 · 32 + 33 · 48 + 100 · 64 rows, or so
    shorter = rows_of("trainer.length_warmup={start: 64, increment: 64, steps: 100}", device="h100")
    assert shorter["tokens of the run"].startswith("1.23M ")


def test_memory_that_does_not_fit_says_what_would() -> None:
    rows = rows_of("model.max_length=1024", "trainer.batch_size=16384", device="a100-40gb")
    said = rows["memory, at the peak"]
    assert "does not fit; trainer.accumulate=" in said
    number = said.partition("trainer.accumulate=")[2].split()[0]
    fitting = rows_of(
        "model.max_length=1024", "trainer.batch_size=16384", f"trainer.accumulate={number}", device="a100-40gb"
    )
    assert "not fit" not in fitting["memory, at the peak"]


def test_what_is_made_again_and_what_is_kept_beside() -> None:
    plain, other = rows_of(device="h100"), rows_of("trainer.recompute=blocks", "trainer.ema={}", device="h100")
    assert plain["memory, activations"].startswith("0.28 GiB")
    assert other["memory, activations"].startswith("28.5 MiB")
    assert other["memory, moving average"] == other["memory, weights"]
    assert "memory, moving average" not in plain


def test_accumulate_auto_is_resolved_for_the_device_that_is_named() -> None:
    rows = rows_of("model.max_length=1024", "trainer.batch_size=16384", "trainer.accumulate=auto", device="rtx4090")
    assert "(auto)" in rows["memory, activations"]
    assert "not fit" not in rows["memory, at the peak"]


def test_a_device_that_is_not_here_is_asked_for() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is one")
    rows = rows_of("trainer.accelerator=gpu")
    assert rows["hours"] == "there is no cuda device here; name one with --device"
    assert "%" not in rows["memory, at the peak"]


def test_here() -> None:
    rows = rows_of("trainer.accelerator=cpu")
    assert " on cpu at 50 % of " in rows["hours"]
    assert " % )" not in rows["memory, at the peak"]
    assert rows["memory, at the peak"].endswith("%)")


def test_shapes() -> None:
    rows = dict(shape_rows(empty_model(model_config("gpt2"))))
    assert rows == {"vocab_size": "the token table has 50257 rows; vocab_multiple=64 pads it to 50304"}
    assert not shape_rows(empty_model(model_config("gpt2", vocab_multiple=64)))


def test_size() -> None:
    assert (size(3 * 2**30), size(2**20), size(0)) == ("3.00 GiB", "1.0 MiB", "0.0 MiB")
