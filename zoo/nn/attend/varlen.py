"""torch's variable-length attention: the documents of all rows one after the other, padding left out.

Flash attention, Dao 2023, arXiv:2307.08691, on sequences of different lengths. A batch of packed or padded rows becomes
one list of sequences, told apart by where each starts (`cu_seqlens`), so nothing is computed between documents.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from zoo.nn.attend.base import KERNELS, WIDEST_HEAD, Demand, Kernel, Prepared, Request, Scoring
from zoo.nn.mask import AttentionMask

HALF = (torch.bfloat16, torch.float16)
OLDEST = (8, 0)
"""Compute capability that flash attention asks of a CUDA device (Ampere, 2020)."""
MULTIPLE = 8
"""Widths of a head are filled up to a multiple of this."""


class Sequences(NamedTuple):
    """The documents of a batch of rows as a list of sequences.

    Attributes:
        query_places, key_places: (N,) place of each query and key among those of all rows laid end to end.
        query_starts, key_starts: (documents + 1,) int32, where each document starts in these, and the end.
        longest: queries and keys of the longest document.
        window: how many places before and after itself a query sees, −1: no limit; (−1, 0) is causal.
    """

    query_places: Tensor
    key_places: Tensor
    query_starts: Tensor
    key_starts: Tensor
    longest: tuple[int, int]
    window: tuple[int, int]


class VarlenKernel(Kernel):
    """torch's varlen_attn: packed and padded rows without what lies between documents; half precision on CUDA only."""

    name = "varlen"

    def refusal(self, demand: Demand) -> str | None:
        """It needs a CUDA device of compute capability 8 and half precision, and does plain scores only."""
        if demand.device != "cuda":
            return f"runs on CUDA devices, not on {demand.device!r}"
        if demand.dtype not in HALF:
            precision = str(demand.dtype).removeprefix("torch.")
            return f"computes in bfloat16 or float16 (trainer.precision=bf16-mixed), not in {precision}"
        if torch.cuda.is_available() and torch.cuda.get_device_capability() < OLDEST:
            return f"needs a CUDA device of compute capability {OLDEST[0]}.{OLDEST[1]}"
        return super().refusal(demand)

    def data_refusal(self, request: Request) -> str | None:
        """Distances are those in a sequence; they must be those in the row where the mask asks for them."""
        mask, length = request.mask, request.query.shape[1]
        windowed = mask.window != (None, None)
        if not isinstance(mask.offset, int):
            return "cannot be part of a graph that serves all lengths of a cache"
        if (mask.causal or windowed) and mask.offset + length != request.num_keys:
            return (
                f"needs queries that are the last of the keys, not {length} from {mask.offset} on of {request.num_keys}"
            )
        if windowed and mask.key_documents is not None and not _lie_together(mask.key_documents):
            return "needs documents that lie together in their row where there is a window (attention.window)"
        return None

    def prepare(self, request: Request) -> Prepared:
        """The rows as sequences.

        Raises:
            ConfigError: where this kernel cannot do that, or not with these documents.
        """
        self.require(request.demand())
        self.require_data(request)
        return Prepared(None, form=sequences(request))

    def attend(self, q_BHTK: Tensor, k_BGSK: Tensor, v_BGSK: Tensor, prepared: Prepared, scoring: Scoring) -> Tensor:
        """One call on the gathered places; zeros at all other places."""
        assert scoring.features <= self.features, "the request did not say what the scoring asks"
        from torch.nn.attention.varlen import varlen_attn

        found: Sequences = prepared.form
        rows, num_heads, length, _ = q_BHTK.shape
        if not len(found.query_places):
            return v_BGSK.new_zeros(rows, num_heads, length, v_BGSK.shape[-1])
        width = _round_up(max(q_BHTK.shape[-1], v_BGSK.shape[-1]))
        groups: dict[str, Any] = {"enable_gqa": True} if k_BGSK.shape[1] != num_heads else {}
        if groups and not _knows_groups():
            groups, repeats = {}, num_heads // k_BGSK.shape[1]
            k_BGSK, v_BGSK = (heads.repeat_interleave(repeats, dim=1) for heads in (k_BGSK, v_BGSK))
        out_NHV = varlen_attn(
            _gathered(q_BHTK, found.query_places, width),
            _gathered(k_BGSK, found.key_places, width),
            _gathered(v_BGSK, found.key_places, width),
            found.query_starts,
            found.key_starts,
            *found.longest,
            scale=scoring.scale,
            window_size=found.window,
            **groups,
        )
        assert isinstance(out_NHV, Tensor)
        out_NHV = out_NHV[..., : v_BGSK.shape[-1]]
        laid_NHV = out_NHV.new_zeros(rows * length, *out_NHV.shape[1:]).index_copy(0, found.query_places, out_NHV)
        return laid_NHV.unflatten(0, (rows, length)).transpose(1, 2)


def sequences(request: Request) -> Sequences:
    """The sequences of a batch, one for each document that has queries and keys.

    Other documents, and padding, are in none: their queries see nothing and yield zeros. The order inside a document is
    that of the row. Where there are fewer queries than keys, they are the last of their document. What cannot be said
    this way is what `VarlenKernel.data_refusal` refuses.
    """
    mask, (rows, length), num_keys = request.mask, request.query.shape[:2], request.num_keys
    query_N, key_M = (
        _numbered(documents, mask, (rows, count), request.query.device)
        for documents, count in ((mask.query_documents, length), (mask.key_documents, num_keys))
    )
    query_places, query_counts = _places(query_N, key_M)
    key_places, key_counts = _places(key_M, query_N)
    starts = _starts(key_counts)
    left, right = (-1 if limit is None else limit for limit in mask.window)
    longest = [int(counts.max()) if len(counts) else 0 for counts in (query_counts, key_counts)]
    return Sequences(
        query_places,
        key_places,
        _starts(query_counts),
        starts,
        (longest[0], longest[1]),
        (left, 0 if mask.causal else right),
    )


def _lie_together(documents_BS: Tensor) -> bool:
    """Whether each document of a row begins once, as it does where they are sorted; −1 is padding."""
    return torch.equal(_num_beginnings(documents_BS), _num_beginnings(documents_BS.sort(dim=1).values))


def _num_beginnings(documents_BS: Tensor) -> Tensor:
    """(B,) how many places have a document that the place before has not."""
    before_BS = functional.pad(documents_BS[:, :-1], (1, 0), value=-1)
    return ((documents_BS >= 0) & (documents_BS != before_BS)).sum(dim=1)


def _numbered(documents: Tensor | None, mask: AttentionMask, shape: tuple[int, int], device: torch.device) -> Tensor:
    """(rows · length,) a number for each document of the batch, the same for queries and keys; −1 is padding."""
    documents = torch.zeros(shape, dtype=torch.int64, device=device) if documents is None else documents
    known = [side.max() for side in (mask.query_documents, mask.key_documents) if side is not None]
    most = torch.stack(known).max() + 1 if known else 1
    row = torch.arange(shape[0], device=device)[:, None]
    return torch.where(documents >= 0, documents + row * most, -1).flatten()


def _places(own_N: Tensor, other_M: Tensor) -> tuple[Tensor, Tensor]:
    """Places of the documents that both sides have, document by document, and how many each has."""
    shared_N = (own_N >= 0) & torch.isin(own_N, other_M)
    places = shared_N.nonzero().flatten()
    order = own_N[places].argsort(stable=True)
    _, counts = own_N[places].unique(return_counts=True)
    return places[order], counts


def _starts(counts: Tensor) -> Tensor:
    return functional.pad(counts.cumsum(0), (1, 0)).to(torch.int32)


def _gathered(heads_BHTK: Tensor, places_N: Tensor, width: int) -> Tensor:
    """(N, H, width) of these places, in half precision under autocast, filled up with zeros."""
    device = heads_BHTK.device.type
    if torch.is_autocast_enabled(device):
        heads_BHTK = heads_BHTK.to(torch.get_autocast_dtype(device))
    gathered_NHK = heads_BHTK.transpose(1, 2).flatten(0, 1)[places_N]
    return functional.pad(gathered_NHK, (0, width - heads_BHTK.shape[-1]))


@functools.cache
def _knows_groups() -> bool:
    """Whether this torch lets several heads of queries share one of keys; 2.11 does not."""
    from torch.nn.attention.varlen import varlen_attn

    return "enable_gqa" in inspect.signature(varlen_attn).parameters


def _round_up(width: int) -> int:
    assert width <= WIDEST_HEAD
    return -(-width // MULTIPLE) * MULTIPLE


KERNELS.add(VarlenKernel.name, VarlenKernel())
