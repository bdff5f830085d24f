"""How much memory an optimizer step takes, told before any of it is taken.

The step is run, on tensors that have shapes and no data (torch's fake tensors): what a model keeps for its backward
is counted from the model itself, so a block or an optimizer that is new is counted from its first day. Counted are
the bytes of all tensors that are alive, at their most in a step that is not the first (the optimizer has its state by
then): the forward of a microbatch, its loss (logits chunk by chunk, as `zoo/nn/loss.py` makes them), its backward,
beside the gradients of the microbatches before it, and the update.

Attention is counted as the kernel that will serve it: on CPUs torch's own choice between its fused kernel and the
formula (which dropout of attention weights and a trained bias ask for); on CUDA devices a fused kernel keeps queries,
keys, values, what it found and a number for each query, and the formula, where no fused kernel can do what is asked,
every score.

Not counted is what is no tensor: libraries and the device's context (about 0.5 GiB on CUDA), what the allocator holds
back, scratch memory inside an operator; nor what compiled steps save, buckets of gradients under several ranks, and the
ids of the other microbatches.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from torch.optim import Optimizer
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from zoo.batch import IGNORE_INDEX
from zoo.heads.language_model import LanguageModelHead
from zoo.models import Model, ModelConfig
from zoo.models.flops import RowShape
from zoo.nn.attend import KERNELS, Demand, Kernel, Prepared, Request, Scoring, explain
from zoo.nn.loss import computed_as_on
from zoo.nn.recompute import NoRecomputeConfig, RecomputeConfig
from zoo.nn.stack import Sort, Stack
from zoo.nn.step import step_aware, watched
from zoo.objectives.base import score_tokens
from zoo.training.ema import EMAConfig, WeightAverage
from zoo.training.optimizers import OptimizerConfig
from zoo.training.precision import FORMATS


class Load(NamedTuple):
    """What one device works on in one optimizer step.

    Attributes:
        rows: of a microbatch.
        row: how long one is, and how much of it is scored.
        microbatches: of the device in a step.
        precision: of the run.
        device: type of the device, as torch names it.
        documents: whether rows are packed or padded, so that attention is told what belongs together.
        segments: whether the inputs say which of two sentences a token belongs to.
        recompute: which activations are made again in the backward.
        ema: of the weights; None: there is none.
    """

    rows: int
    row: RowShape
    microbatches: int = 1
    precision: str = "32-true"
    device: str = "cpu"
    documents: bool = True
    segments: bool = False
    recompute: RecomputeConfig = NoRecomputeConfig()
    ema: EMAConfig | None = None


class Memory(NamedTuple):
    """Bytes on one device.

    Attributes:
        weights: parameters and buffers.
        gradients: of all parameters, as they are when the update begins.
        optimizer: its state.
        average: a moving average of the weights.
        activations: what a microbatch keeps for its backward when its loss is known, its batch included.
        peak: of all together. Gradients come while activations go, so it is less than their sum with one microbatch.
    """

    weights: int
    gradients: int
    optimizer: int
    average: int
    activations: int
    peak: int


def step_memory(model: ModelConfig, optimizer: OptimizerConfig, load: Load) -> Memory:
    """What an optimizer step takes.

    Args:
        model: what is trained; its vocabulary is known.
        optimizer: how it is updated.
        load: what it works on.
    """
    modes = FakeTensorMode(allow_non_fake_inputs=True), _Answers(load), computed_as_on(load.device)
    with modes[0], modes[1], modes[2], LiveBytes() as live:
        with _weights_in(FORMATS[load.precision].weights):
            built = model.build_unset()
        _stand_in(built, load)
        load.recompute.apply(built)
        weights = live.now
        update = after_a_step(optimizer, built)
        update.zero_grad(set_to_none=True)
        state = live.now - weights
        average = None if load.ema is None else WeightAverage(EMAConfig(), built)  # one that begins with step 1
        if average is not None:
            average.update(1)
        averaged = live.now - weights - state
        live.peak = live.now
        with _autocast(load):
            for _ in range(min(load.microbatches, 2)):  # a third is as the second
                standing = live.now
                loss = _loss(built, load)
                activations = live.now - standing
                with torch.autocast("cpu", enabled=False):
                    loss.backward()
                del loss
        gradients = sum(p.grad.nbytes for p in built.parameters() if p.grad is not None)
        update.step()
        if average is not None:
            average.update(2)
        return Memory(weights, gradients, state, averaged, activations, live.peak)


def after_a_step(config: OptimizerConfig, model: Model) -> Optimizer:
    """The optimizer of a model behind its first step, so that it has its state; for tensors without data."""
    optimizer = config.build(model, model.config.initialization)
    for parameter in model.parameters():
        parameter.grad = torch.empty_like(parameter)
    optimizer.step()
    return optimizer


@contextlib.contextmanager
def _weights_in(dtype: torch.dtype) -> Iterator[None]:
    """Parameters that are made inside are of this dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _autocast(load: Load) -> contextlib.AbstractContextManager[Any]:
    """Products in a lower precision than the weights have, where the run asks for it."""
    if load.precision.endswith("-mixed"):
        return torch.autocast("cpu", dtype=FORMATS[load.precision].products)
    return contextlib.nullcontext()


def _loss(model: Model, load: Load) -> Tensor:
    """The loss of one microbatch, as the training module puts it together."""
    inputs = _inputs(load)
    with watched(step_aware(model)) as added:
        hidden_BTD = model.backbone(**inputs)
        loss = hidden_BTD.new_zeros((), dtype=torch.promote_types(hidden_BTD.dtype, torch.float32))
        for head in model.heads.values():
            if isinstance(head, LanguageModelHead):
                labels_BT = torch.full(hidden_BTD.shape[:2], IGNORE_INDEX)
                loss = loss + score_tokens(hidden_BTD, head, labels_BT).loss
            else:
                loss = loss + head(hidden_BTD).square().sum()
    for extra in added:
        loss = loss + extra
    return loss


def _inputs(load: Load) -> dict[str, Tensor]:
    """A batch without data."""
    inputs: dict[str, Tensor] = {}
    for side, length in (("", load.row.length), ("decoder_", load.row.decoder_length)):
        if length:
            names = ("tokens", "positions", "documents") if load.documents else ("tokens",)
            inputs |= {f"{side}{name}": torch.zeros(load.rows, length, dtype=torch.int64) for name in names}
    if load.segments:
        inputs["segments"] = torch.zeros_like(inputs["tokens"])
    return inputs


# ------------------------------------------------------------------------------------------------- tensors without data


class LiveBytes(TorchDispatchMode):
    """Adds up the bytes of the tensors that come into being inside and are still alive.

    Attributes:
        now: bytes at this moment. peak: the most so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._add(tensor.untyped_storage())
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        key = id(storage)  # torch hands out one object for a storage as long as that lives
        if key not in self._known:
            self._known.add(key)
            weakref.finalize(storage, self._remove, key, storage.nbytes()).atexit = False
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)

    def _remove(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


class _Answers(TorchDispatchMode):
    """Answers what an operator would learn from the data: all ids are legal, experts have equal loads, and so on.

    Args:
        load: says how many places are scored.
    """

    def __init__(self, load: Load) -> None:
        super().__init__()
        self.num_scored = max(1, round(load.rows * load.row.scored))
        aten = torch.ops.aten
        self.answers: Mapping[Any, Callable[..., Any]] = {
            aten.nonzero.default: self._scored,
            aten.bincount.default: self._equal_loads,
            aten.index.Tensor: self._all_of,
            aten._local_scalar_dense.default: lambda tensor: False if tensor.dtype is torch.bool else 1,
        }

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self.answers.get(func, func)(*args, **(kwargs or {}))

    def _scored(self, scored: Tensor) -> Tensor:
        """The places that a loss is about."""
        return scored.new_empty((self.num_scored, scored.ndim), dtype=torch.int64)

    def _equal_loads(self, experts: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
        """As many tokens for each expert, a tensor with data: lists are cut by it."""
        each, more = divmod(experts.numel(), minlength)
        with unset_fake_temporarily():
            return torch.tensor([each + (number < more) for number in range(minlength)])

    def _all_of(self, tensor: Tensor, indices: list[Tensor | None]) -> Tensor:
        """A mask that picks leaves nothing out."""
        kept = [
            torch.arange(len(index)) if index is not None and index.dtype is torch.bool else index for index in indices
        ]
        result: Tensor = torch.ops.aten.index.Tensor(tensor, kept)
        return result


# ------------------------------------------------------------------------------------------------------ kernels of CUDA


def _stand_in(model: Model, load: Load) -> None:
    """Puts what takes as much memory in the place of kernels that run on another device."""
    if load.device == "cpu":
        return
    for stack in model.modules():
        if isinstance(stack, Stack):
            stack.sorts = [sort._replace(kernel=_served_by(sort, load)) for sort in stack.sorts]
            stack.kernel = _stand_in_for  # type: ignore[method-assign]


def _stand_in_for(name: str) -> Kernel:
    """The formula is itself everywhere; the others are fused."""
    return KERNELS[name] if name == "reference" else FusedStandIn(name)


def _served_by(sort: Sort, load: Load) -> str:
    """The name of the kernel that serves a layer there."""
    masked = load.documents or sort.window != (None, None)
    products, num_keys = FORMATS[load.precision].products, max(load.row.length, load.row.decoder_length)
    demand = Demand(load.device, products, features=sort.features, masked=masked, num_keys=num_keys)
    return explain(demand)[0] if sort.kernel == "auto" else sort.kernel


class FusedStandIn(Kernel):
    """Takes the memory that a fused kernel takes: nothing that is as large as all scores, but for a bias that is.

    Args:
        name: of the kernel that it stands for.
    """

    features = frozenset({"bias", "prefix", "wide_heads", "cap", "dropout", "sinks"})

    def __init__(self, name: str) -> None:
        self.name = name

    def prepare(self, request: Request) -> Prepared:
        """What the kernel would prepare: torch's own function takes the mask as a tensor, the others do not."""
        return KERNELS["sdpa"].prepare(request) if self.name == "sdpa" else Prepared(None, request.bias)

    def attend(self, q_BHTK: Tensor, k_BGSK: Tensor, v_BGSK: Tensor, prepared: Prepared, scoring: Scoring) -> Tensor:
        """Zeros, with what a backward needs beside them."""
        bias = prepared.bias if prepared.mask is None else prepared.mask.to(q_BHTK.dtype)
        if torch.is_autocast_enabled("cpu"):
            low = torch.get_autocast_dtype("cpu")
            q_BHTK, k_BGSK, v_BGSK = q_BHTK.to(low), k_BGSK.to(low), v_BGSK.to(low)
        out: Tensor = _Fused.apply(q_BHTK, k_BGSK, v_BGSK, bias)
        return out


class _Fused(torch.autograd.Function):
    """Keeps queries, keys, values, the output and the log-sum-exp of each query; makes their gradients at once."""

    @staticmethod
    def forward(ctx: Any, q_BHTK: Tensor, k_BGSK: Tensor, v_BGSV: Tensor, bias: Tensor | None) -> Tensor:
        out_BHTV = q_BHTK.new_zeros(*q_BHTK.shape[:3], v_BGSV.shape[-1])
        lse_BHT = q_BHTK.new_zeros(q_BHTK.shape[:3], dtype=torch.float32)
        ctx.save_for_backward(q_BHTK, k_BGSK, v_BGSV, bias, out_BHTV, lse_BHT)
        return out_BHTV

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        q_BHTK, k_BGSK, v_BGSV, bias, _, _ = ctx.saved_tensors
        by_bias = torch.zeros_like(bias) if ctx.needs_input_grad[3] else None
        return torch.zeros_like(q_BHTK), torch.zeros_like(k_BGSK), torch.zeros_like(v_BGSV), by_bias
