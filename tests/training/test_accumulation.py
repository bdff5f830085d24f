"""`trainer.accumulate: auto`: the number that is chosen, that it is recorded, and that it changes nothing."""

from pathlib import Path

import pytest

from tests.training.tiny import distance, tiny_run, weights
from zoo.config_text import read_yaml
from zoo.errors import ConfigError
from zoo.training.accumulation import GIB, as_begun, legal_numbers, resolve, smallest_fitting, with_number
from zoo.training.cost import load
from zoo.training.memory import step_memory
from zoo.training.run import pretrain

AUTO = ("trainer.accumulate=auto", "model.vocab_size=300")


def peak(config, number: int) -> int:
    return step_memory(config.model, config.optimizer, load(config, number, "cpu")).peak


@pytest.mark.parametrize("wanted", [1, 2, 4, 8])
def test_the_smallest_number_that_fits(tmp_path: Path, wanted: int) -> None:
    config = tiny_run(tmp_path, "gpt", *AUTO)
    assert legal_numbers(config) == [1, 2, 4, 8]
    limit = peak(config, wanted)
    assert smallest_fitting(config, "cpu", limit) == wanted
    limited = tiny_run(tmp_path, "gpt", *AUTO, f"trainer.memory_limit={(limit + 1) / GIB!r}")
    resolved = resolve(limited, "cpu")
    assert resolved == with_number(limited, wanted)
    assert resolved.trainer.memory_limit is None


def test_the_memory_of_the_device_where_no_limit_is_said(tmp_path: Path) -> None:
    assert resolve(tiny_run(tmp_path, "gpt", *AUTO), "cpu").trainer.accumulate == 1


def test_rows_are_shared_out_to_ranks_first(tmp_path: Path) -> None:
    assert legal_numbers(tiny_run(tmp_path, "gpt", *AUTO, "trainer.devices=2")) == [1, 2, 4]


def test_a_limit_that_nothing_fits_says_what_to_do(tmp_path: Path) -> None:
    config = tiny_run(tmp_path, "gpt", *AUTO, "trainer.memory_limit=0.0001")
    with pytest.raises(ConfigError, match=r"trainer\.memory_limit.*even with one row at a time.*raise it, or take"):
        resolve(config, "cpu")


@pytest.mark.parametrize(
    "settings, key",
    [
        (("trainer.memory_limit=1",), "trainer.memory_limit"),
        (("trainer.accumulate=automatic",), "trainer.accumulate"),
        (("trainer.accumulate=auto", "trainer.memory_limit=0"), "trainer.memory_limit"),
        (("trainer.accumulate=auto", "model.norm=batch_norm"), "trainer.accumulate"),
    ],
)
def test_refused(tmp_path: Path, settings: tuple[str, ...], key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        tiny_run(tmp_path, "gpt", *settings)


def test_a_run_records_it_says_it_and_goes_on_with_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    limit = peak(tiny_run(tmp_path, "gpt", "model.vocab_size=300", "trainer.accumulate=auto"), 4) / GIB
    settings = (*AUTO, f"trainer.memory_limit={limit * 1.001!r}")
    config = tiny_run(tmp_path, "gpt", *settings)
    pretrain(config, tmp_path / "run")
    assert "trainer.accumulate: auto is 4 " in capsys.readouterr().err
    trainer = read_yaml(tmp_path / "run" / "config.yaml").settings["trainer"]
    assert (trainer["accumulate"], trainer["memory_limit"]) == (4, None)
    assert pretrain(config, tmp_path / "run").already_finished
    other = tiny_run(tmp_path, "gpt", *AUTO, f"trainer.memory_limit={100 * limit!r}")
    assert as_begun(other, tmp_path / "run").trainer.accumulate == 4, "a larger device goes on as the run was begun"
    plain = tiny_run(tmp_path, "gpt", "model.vocab_size=300")
    pretrain(plain, tmp_path / "plain")
    assert distance(weights(tmp_path / "run"), weights(tmp_path / "plain")) < 1e-4
