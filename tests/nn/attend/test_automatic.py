"""The automatic kernel: the rules as a table, never a kernel that cannot, and on CPUs what was the default before."""

import itertools

import pytest
import torch

from tests.nn.attend.cases import MASKS, B, H, S, T
from zoo.nn.attend import KERNELS, Demand, Request, Scoring, explain
from zoo.nn.attend.automatic import RULES

AUTO = KERNELS["auto"]
CASES = {  # device, dtype, masked, features → kernel
    ("cpu", torch.float32, False, ""): "sdpa",
    ("cpu", torch.float32, True, ""): "sdpa",
    ("cpu", torch.bfloat16, True, "bias dropout prefix"): "sdpa",
    ("cpu", torch.float32, False, "cap"): "reference",
    ("cpu", torch.float32, True, "additive"): "reference",
    ("mps", torch.float32, True, ""): "sdpa",
    ("mps", torch.float32, True, "cap"): "reference",
    ("cuda", torch.bfloat16, False, ""): "sdpa",
    ("cuda", torch.bfloat16, True, ""): "varlen",
    ("cuda", torch.float16, True, ""): "varlen",
    ("cuda", torch.float32, True, ""): "sdpa",
    ("cuda", torch.bfloat16, True, "bias"): "sdpa",
    ("cuda", torch.bfloat16, True, "dropout"): "sdpa",
    ("cuda", torch.bfloat16, True, "wide_heads"): "sdpa",
    ("cuda", torch.bfloat16, True, "cap"): "flex",
    ("cuda", torch.float32, False, "cap bias"): "flex",
    ("cuda", torch.bfloat16, False, "sinks"): "flex",
    ("cuda", torch.float64, False, "cap"): "reference",
    ("cuda", torch.float64, True, ""): "sdpa",
    ("cuda", torch.bfloat16, True, "cap dropout"): "reference",
    ("cuda", torch.bfloat16, True, "additive"): "reference",
}


def demand(device: str, dtype: torch.dtype, masked: bool, features: str) -> Demand:
    return Demand(device, dtype, True, frozenset(features.split()), masked)


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case)))
def test_rules(case: tuple[str, torch.dtype, bool, str]) -> None:
    assert explain(demand(*case))[0] == CASES[case]


@pytest.mark.parametrize("num_keys, kernel", [(None, "varlen"), (1024, "sdpa"), (2047, "sdpa"), (2048, "varlen")])
def test_short_rows_are_not_laid_end_to_end(num_keys: int | None, kernel: str) -> None:
    asked = demand("cuda", torch.bfloat16, True, "")
    assert explain(asked._replace(num_keys=num_keys))[0] == kernel
    assert explain(asked._replace(num_keys=num_keys, features=frozenset({"cap"})))[0] == "flex"


def test_a_request_says_how_many_keys_it_has() -> None:
    assert Request(MASKS["causal"], None, S, torch.empty(B, T, 1)).demand().num_keys == S


def test_every_rule_is_needed() -> None:
    assert {rule.kernel for rule in RULES} == set(CASES.values()) == set(KERNELS) - {"auto"}


def test_the_chosen_kernel_can() -> None:
    """Of all that may be asked of it."""
    features = sorted(KERNELS["reference"].features)
    for device, dtype, masked, gradients, count in itertools.product(
        ("cpu", "cuda", "mps", "xpu"),
        (torch.float64, torch.float32, torch.bfloat16),
        (False, True),
        (False, True),
        range(len(features) + 1),
    ):
        for chosen in itertools.combinations(features, count):
            asked = Demand(device, dtype, gradients, frozenset(chosen), masked)
            assert KERNELS[explain(asked)[0]].refusal(asked) is None


def test_reasons_say_what_was_passed_over() -> None:
    assert explain(demand("cpu", torch.float32, False, "")) == ("sdpa", "is torch's fused kernel")
    name, reason = explain(demand("cuda", torch.float32, True, "additive cap"))
    assert name == "reference"
    assert reason == (
        "can do everything, step by step; varlen computes in bfloat16 or float16 (trainer.precision=bf16-mixed), "
        "not in float32; flex cannot do additive; sdpa cannot do additive, cap"
    )


@pytest.mark.parametrize("features", ["", "cap"])
def test_it_computes_what_the_chosen_kernel_computes(features: str) -> None:
    q, k, v = (torch.randn(B, H, length, 8) for length in (T, S, S))
    request = Request(MASKS["causal documents"], None, S, torch.empty(B, T, 1), frozenset(features.split()))
    scoring = Scoring(0.3, 5.0 if features else None)
    chosen = AUTO.pick(request)
    assert chosen is KERNELS["reference" if features else "sdpa"]
    expected = chosen.attend(q, k, v, chosen.prepare(request), scoring)
    assert torch.equal(AUTO.attend(q, k, v, AUTO.prepare(request), scoring), expected)
    assert KERNELS["sdpa"].pick(request) is KERNELS["sdpa"]
