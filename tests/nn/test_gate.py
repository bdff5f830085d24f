"""Gates open as the hidden state says, by head or by element, in self- and cross-attention."""

import pytest
import torch

from tests.nn.attend.cases import DIFFERENTIABLE
from tests.nn.test_attention import HEADS, B, D, M, S, T, attention, context
from zoo.nn.attention import MultiHeadAttentionConfig
from zoo.nn.gate import ElementGateConfig, Gate, GateConfig, HeadGateConfig, NoGateConfig
from zoo.nn.mask import AttentionMask

WIDTH = HEADS.num_heads * HEADS.head_dim


@pytest.mark.parametrize("kernel", DIFFERENTIABLE)
@pytest.mark.parametrize("cross", [False, True])
@pytest.mark.parametrize("gate", [HeadGateConfig(), ElementGateConfig()], ids=lambda gate: gate.kind)
def test_gate_is_between_the_heads_and_the_output(kernel: str, cross: bool, gate: GateConfig) -> None:
    """What comes out of an ungated attention whose output projection is the identity, times the gate, projected."""
    module = attention(MultiHeadAttentionConfig(kernel=kernel, gate=gate), memory_dim=M if cross else D)
    ungated = attention(MultiHeadAttentionConfig(kernel=kernel, gate=NoGateConfig()), memory_dim=M if cross else D)
    ungated.load_state_dict({n: w for n, w in module.state_dict().items() if not n.startswith("gate.")})
    ungated.output = torch.nn.Identity()  # type: ignore[assignment]
    hidden = torch.randn(B, T, D, dtype=torch.float64)
    memory = torch.randn(B, S, M, dtype=torch.float64) if cross else None
    around = context(kernel, AttentionMask(), S if cross else T)
    found_BTX = ungated(hidden, around, memory)
    assert isinstance(module.gate, Gate)
    opening = torch.sigmoid(hidden @ module.gate.project.weight.T)
    each = WIDTH // opening.shape[-1]
    expected = module.output(found_BTX * opening.repeat_interleave(each, dim=-1))
    torch.testing.assert_close(module(hidden, around, memory), expected)


def test_weights() -> None:
    for gate, width in ((HeadGateConfig(), HEADS.num_heads), (ElementGateConfig(), WIDTH)):
        module = attention(MultiHeadAttentionConfig(kernel="reference", gate=gate))
        assert {n: tuple(w.shape) for n, w in module.gate.named_parameters()} == {"project.weight": (width, D)}
        assert isinstance(module.gate, Gate)
        assert module.gate.project.site.role == "attention_gate"
    assert not list(attention().gate.parameters())
    assert set(GateConfig.choices) == {"none", "head", "element"}
