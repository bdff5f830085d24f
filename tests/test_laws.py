"""The laws hold for plain models, and are broken by what breaks them."""

from dataclasses import replace

import pytest
from torch import Tensor

from tests.laws import assert_laws, small
from zoo.models import ModelConfig
from zoo.nn.attend import KERNELS, Prepared, ReferenceKernel, Request
from zoo.nn.mask import AttentionMask
from zoo.nn.stack import Stack


@pytest.mark.parametrize("family", ModelConfig.choices)
def test_plain_models_keep_them(family: str) -> None:
    assert_laws(small(family))


def test_a_window_and_a_prefix_keep_them_together() -> None:
    assert_laws(small("decoder", attention={"window": 1}, positions="rotary"))


class Blind(ReferenceKernel):
    """Forgets who may see whom, but for the order where it is asked to keep it."""

    def __init__(self, causal: bool) -> None:
        self.causal = causal

    def prepare(self, request: Request) -> Prepared:
        mask = AttentionMask(self.causal, offset=request.mask.offset) if self.causal else AttentionMask()
        return super().prepare(request._replace(mask=mask))


class OneWay(ReferenceKernel):
    """Has never heard of a prefix."""

    def prepare(self, request: Request) -> Prepared:
        return super().prepare(request._replace(mask=replace(request.mask, prefix=None)))


class Deaf(ReferenceKernel):
    """Hands no gradient to the keys."""

    def attend(self, q_BHTK: Tensor, k_BGSK: Tensor, v_BGSK: Tensor, *rest: object) -> Tensor:  # type: ignore[override]
        return super().attend(q_BHTK, k_BGSK.detach(), v_BGSK, *rest)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "kernel, family, message",
    [
        (Blind(True), "decoder", "packed: .* differ"),
        (Blind(False), "encoder", "packed: .* differ"),
        (Deaf(), "decoder", "the reference kernel: .* differ"),
        (OneWay(), "decoder", "a prefix goes unheard"),
    ],
)
def test_they_are_seen_to_break(
    kernel: ReferenceKernel, family: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(KERNELS._entries, "made_up", kernel)
    with pytest.raises(AssertionError, match=message):
        assert_laws(small(family, attention={"kernel": "made_up"}))


def test_a_look_into_the_future_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.nn.stack.Stack.forward", _both_ways(Stack.forward))
    with pytest.raises(AssertionError, match="cached: hidden states differ"):
        assert_laws(small("decoder"))


def _both_ways(forward: object) -> object:
    def run(self: Stack, *arguments: object, **options: object) -> Tensor:
        self.causal = False
        return forward(self, *arguments, **options)  # type: ignore[operator, no-any-return]

    return run
