"""A run whose kernels cannot be trained with is refused before it starts, and no other."""

from typing import Any

import pytest

from zoo.errors import ConfigError
from zoo.models import ModelConfig
from zoo.models.create import model_config
from zoo.nn.attend import KERNELS
from zoo.training.kernels import DEVICES, check_kernels
from zoo.training.precision import FORMATS


def gpt(**attention: Any) -> ModelConfig:
    return model_config("gpt-nano", attention=attention, vocab_size=16)


@pytest.mark.parametrize(
    "kernel, precision, devices, said",
    [
        ("flex", "32-true", ("cpu",), "kernel 'flex' has no gradients on CPUs.*; use auto, or another kernel"),
        ("flex", "64-true", ("cuda",), "no float64"),
        ("varlen", "bf16-mixed", ("cpu",), "runs on CUDA devices, not on 'cpu'"),
        ("varlen", "32-true", ("cuda",), r"trainer.precision=bf16-mixed\), not in float32"),
        ("varlen", "32-true", DEVICES["auto"], "not in float32"),
        ("varlen", "16-mixed", ("cpu",), "runs on CUDA devices, not on 'cpu'"),
        ("flex", "bf16-true", ("cpu",), "no gradients on CPUs"),
    ],
)
def test_refused(kernel: str, precision: str, devices: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError, match=f"model.attention.kernel: .*{said}"):
        check_kernels(gpt(kernel=kernel), precision, devices)


@pytest.mark.parametrize("precision", FORMATS)
@pytest.mark.parametrize("accelerator", DEVICES)
def test_other_kernels_train_anywhere(precision: str, accelerator: str) -> None:
    for kernel in set(KERNELS) - {"flex", "varlen"}:
        check_kernels(gpt(kernel=kernel), precision, DEVICES[accelerator])
    check_kernels(gpt(kernel="flex", cap=5.0), "32-true", DEVICES["auto"])
    for half in ("bf16-mixed", "bf16-true", "16-mixed"):
        check_kernels(gpt(kernel="varlen"), half, DEVICES["auto"])


def test_one_layer_is_enough() -> None:
    model = model_config("gpt-nano", layers={"2": {"attention": {"kernel": "flex"}}}, vocab_size=16)
    check_kernels(model, "32-true", ("cuda",))
    with pytest.raises(ConfigError, match="kernel 'flex' of layer 2 has no gradients"):
        check_kernels(model, "32-true", ("cpu",))


@pytest.mark.parametrize("decoder", [{"attention": {"kernel": "flex"}}, {"attention": {"kernel": "varlen"}}])
def test_either_side_is_enough(decoder: dict[str, Any]) -> None:
    model = model_config("t5-nano", positions="rotary", decoder=decoder, vocab_size=16)
    with pytest.raises(ConfigError, match=r"^model\.decoder\.attention\.kernel: kernel '(flex|varlen)' (has|runs)"):
        check_kernels(model, "32-true", ("cpu",))
    check_kernels(model, "bf16-mixed", ("cuda",))
    model = model_config("t5-nano", attention={"kernel": "flex"}, decoder={"attention": {"kernel": "sdpa"}})
    with pytest.raises(ConfigError, match=r"^model\.attention\.kernel: "):
        check_kernels(model, "32-true", ("cpu",))
