"""Numbers that grow: the closed form against adding up."""

import pytest

from zoo.data.stages import Stages, constant, growing


@pytest.mark.parametrize(
    "stages",
    [constant(5), growing(2, 8, 2, 9), growing(1, 4, 1, 3), growing(8, 64, 8, 100), growing(3, 10, 7, 50)],
    ids=lambda stages: str(stages.values),
)
def test_sum_is_that_of_the_steps_before(stages: Stages) -> None:
    total = 0
    for step in range(130):
        assert stages.sum_before(step) == total
        total += stages.value(step)
    far = 10**12
    assert stages.sum_before(far + 1) - stages.sum_before(far) == stages.value(far) == stages.values[-1]


@pytest.mark.parametrize("steps", [3, 7, 9, 100])
def test_grows_in_equal_strides_to_the_end(steps: int) -> None:
    stages = growing(4, 16, 4, steps)
    values = [stages.value(step) for step in range(steps + 2)]
    assert values[0] == 4
    assert values[steps - 1 :] == [12, 16, 16]
    lengths = [values.count(value) for value in (4, 8, 12)]
    assert max(lengths) - min(lengths) <= 1
    assert values == sorted(values)


def test_stages_begin_at_the_beginning() -> None:
    with pytest.raises(AssertionError):
        Stages((1, 2), (1, 2))
    with pytest.raises(AssertionError):
        Stages((1, 2), (0, 0))
