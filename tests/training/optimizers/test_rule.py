"""What all rules of our own do: skip what has no gradient, remember in float32, and restore what they remember."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zoo.training.optimizers.rule import RuleOptimizer, decay, root_mean_square, shown_weights, wide, zeros_like


class Counting(RuleOptimizer):
    """Subtracts the rate times the mean of gradients so far, and counts."""

    def begin(self, group: dict[str, Any]) -> None:
        group["begun"] = group.get("begun", 0) + 1

    def update(self, parameter: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        if not state:
            state |= {"step": 0, "sum": zeros_like(parameter)}
        state["step"] += 1
        state["sum"] += gradient
        parameter.sub_(state["sum"], alpha=group["lr"] / state["step"])


def counting(*parameters: nn.Parameter) -> Counting:
    return Counting([{"params": list(parameters), "lr": 0.5, "weight_decay": 0.0}])


def test_updates_what_has_a_gradient() -> None:
    one, two = (nn.Parameter(torch.ones(2)) for _ in range(2))
    one.grad = torch.ones(2)
    optimizer = counting(one, two)
    optimizer.step()
    assert one.tolist() == [0.5, 0.5]
    assert two.tolist() == [1.0, 1.0]
    assert list(optimizer.state) == [one]
    assert optimizer.param_groups[0]["begun"] == 1


def test_closure_is_called_with_gradients_on() -> None:
    parameter = nn.Parameter(torch.ones(2))
    optimizer = counting(parameter)

    def closure() -> float:
        loss = parameter.square().sum()
        loss.backward()
        return float(loss.detach())

    assert optimizer.step(closure) == 2.0
    assert parameter.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_state_is_wide_and_comes_back_as_it_was(dtype: torch.dtype) -> None:
    parameter, other = (nn.Parameter(torch.ones(3, dtype=dtype)) for _ in range(2))
    optimizer = counting(parameter)
    for value in (1.0, 1e-4):
        parameter.grad = torch.full((3,), value, dtype=dtype)
        optimizer.step()
    assert optimizer.state[parameter]["sum"].dtype == wide(parameter) != torch.bfloat16
    restored = counting(other)
    restored.load_state_dict(optimizer.state_dict())
    assert torch.equal(restored.state[other]["sum"], optimizer.state[parameter]["sum"])
    assert restored.state[other]["sum"].dtype == wide(parameter)
    assert restored.state[other]["sum"] is not optimizer.state[parameter]["sum"]
    assert restored.state[other]["step"] == 2
    assert restored.param_groups[0]["begun"] == 2


def test_decay_and_size() -> None:
    weight = torch.tensor([3.0, 4.0])
    assert float(root_mean_square(weight)) == pytest.approx(12.5**0.5)
    decay(weight, {"lr": 0.1, "weight_decay": 0.5})
    torch.testing.assert_close(weight, torch.tensor([2.85, 3.8]))
    assert root_mean_square(weight.bfloat16()).dtype == torch.float32


def test_most_optimizers_show_what_they_train() -> None:
    parameter = nn.Parameter(torch.ones(2))
    for optimizer in (counting(parameter), torch.optim.SGD([parameter], lr=0.1)):
        with shown_weights(optimizer):
            assert parameter.tolist() == [1.0, 1.0]
