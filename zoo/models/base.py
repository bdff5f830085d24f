"""A model is one backbone and named heads.

The backbone turns token ids into hidden states; a head turns hidden states into logits. Any head sits on any backbone
that gives it what it needs, and is refused by name on one that does not.
"""

from __future__ import annotations

import contextlib
import gc
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from zoo.config import Config, setting
from zoo.errors import ConfigError, DataError, ZooError
from zoo.heads import HeadConfig, HeadShape
from zoo.nn.embedding import EmbeddingConfig, TokenEmbedding
from zoo.nn.init import BertInitializationConfig, InitializationConfig, WidthEntry, initialize
from zoo.nn.linear import Embedding, Site
from zoo.nn.padding import padding_aware, tell_padding
from zoo.nn.residual import PLACEMENTS
from zoo.nn.stack import Scheme, Stack, StackCache, StackConfig
from zoo.registry import Choice


@dataclass(frozen=True, kw_only=True)
class ModelConfig(StackConfig, Choice, noun="model"):
    """What every family has: a vocabulary, a stack, an embedding, heads, an initialization."""

    presets: ClassVar[Callable[[str], dict[str, Any]] | None] = None
    """Looks a named size up (set by `zoo.models.presets`)."""

    causal: ClassVar[bool]
    """Whether the hidden states that the heads read see only the past."""

    vocab_size: int | None = setting(
        None, "entries of the vocabulary; null: in a run, as many as the tokenizer has", minimum=1
    )
    vocab_multiple: int = setting(
        1, "the table is padded to a multiple of so many rows, for speed; the spare rows stay zero", minimum=1
    )
    embedding: EmbeddingConfig = setting(EmbeddingConfig(), "how tokens enter the model")
    heads: dict[str, HeadConfig] = setting({}, "what the model predicts: heads by name")
    initialization: InitializationConfig = setting(BertInitializationConfig(), "how weights are drawn before training")

    def validate(self) -> None:
        """Refuses heads that the family cannot feed, positions that do not fit, and a padding token past the table."""
        super().validate()
        for name, head in self.heads.items():
            if not name.isidentifier() or hasattr(nn.ModuleDict(), name):
                raise ConfigError(f"head {name!r} needs another name: one word, and none that torch uses", "heads")
            if self.kind not in head.families:
                raise ConfigError(
                    f"head {head.kind!r} does not fit model {self.kind!r}; it fits: {', '.join(head.families)}",
                    f"heads.{name}",
                )
            try:
                head.check_family(self.kind, self.causal)
            except ConfigError as error:
                raise error.under(f"heads.{name}") from None
        self._check_positions()
        padding = self.embedding.padding_token
        if padding is not None and self.vocab_size is not None and padding >= self.vocab_size:
            raise ConfigError(f"{padding} is not below vocab_size={self.vocab_size}", "embedding.padding_token")
        self.initialization.check(self.model_width_entries())
        self._check_start()

    def model_width_entries(self) -> Iterator[WidthEntry]:
        """The settings of all parts by which the width scales something besides the weights."""
        for side in self.sides():
            layers = {f"layers.{number}": layer for number, layer in enumerate(side.stack.layer_configs())}
            seen: set[object] = set()
            for place, layer in {"": side.stack, **layers}.items():
                for entry in layer.width_entries():
                    if entry not in seen:
                        yield entry.under(place).under(side.key)
                        seen.add(entry)
        if self.embedding.scale != "none":
            yield WidthEntry("embedding.scale", self.embedding.scale, "embeddings would grow with the width; set none")
        for name, head in self.heads.items():
            yield from (entry.under(f"heads.{name}") for entry in head.width_entries())

    def _check_start(self) -> None:
        """Refuses branches that start at zero and would stay there."""
        for side in self.sides() if self.initialization.zero_output else ():
            for layer in side.stack.layer_configs():
                if reason := layer.residual.stuck_at_zero:
                    raise ConfigError(
                        f"true starts what the branches write at zero, and residual={layer.residual.kind} does not go "
                        f"with that: {reason}; set it to false, or residual to another kind",
                        "initialization.zero_output",
                    )

    def _check_positions(self) -> None:
        sides = self.sides()
        two_sided = {scheme.config for side in sides if not side.causal for scheme in side.stack.schemes(False)}
        for side in sides:
            width = self.embedding.sum_dim(side.stack.dim)
            own = Scheme(side.stack.positions, side.stack.positions_shape(side.causal, width))
            for layer, scheme in enumerate(side.stack.schemes(side.causal, width)):
                try:
                    scheme.config.check_sides(scheme.config in two_sided)
                    scheme.config.check(scheme.shape)
                except ConfigError as error:
                    key = "positions" if scheme == own else f"layers.{layer}.positions"
                    raise error.under(key).under(side.key) from None

    def parts_that_mix_rows(self) -> dict[str, str]:
        """Dotted key of each part whose result in training depends on the other rows of a microbatch → why."""
        sides = self.sides()
        parts = _mixing(self, self._has_norm(sides[0].stack))
        for side in sides:
            under, mixing = f"{side.key}." if side.key else "", _mixing(side.stack, self._has_norm(side.stack))
            parts |= {f"{under}{key}": why for key, why in mixing.items() if key not in parts}
            for number, layer in enumerate(side.stack.layer_configs()):
                found = _mixing(layer, any(map(any, layer.placements)))
                parts |= {f"{under}layers.{number}.{key}": why for key, why in found.items() if key not in mixing}
        return parts

    def _has_norm(self, stack: StackConfig) -> bool:
        """Whether the `norm` of a stack stands anywhere: in its layers, at its end, in the embedding, in a head."""
        layers = any(layer.norm == stack.norm and any(map(any, layer.placements)) for layer in stack.layer_configs())
        heads = any(getattr(head, "transform", None) is not None for head in self.heads.values())
        return layers or PLACEMENTS[stack.placement].needs_final_norm or self.embedding.norm or heads

    def leaks(self) -> dict[str, str]:
        """Key of each causal side ("": the only one) in which, in training, a token depends on later ones → why."""
        found = {}
        for side in self.sides():
            layers = [layer.norm for layer in side.stack.layer_configs() if any(map(any, layer.placements))]
            own = [side.stack.norm] if self._has_norm(side.stack) else []
            norms = [norm for norm in (*own, *layers) if norm.mixes_rows]
            if side.causal and norms:
                found[side.key] = (
                    f"{norms[0].kind} {norms[0].mixes_rows}: in training this causal stack sees later tokens, and its "
                    "loss may be too good; in evaluation it does not"
                )
        return found

    def sides(self) -> tuple[Side, ...]:
        """The stacks of the family; heads read what comes out of the last."""
        return (Side("", self, self.causal),)

    def token_table(self, dim: int) -> Embedding:
        """A new token table for a stack of this width; raises ConfigError where the vocabulary is not known yet."""
        if self.vocab_size is None:
            raise ConfigError("is not known; give it, for example vocab_size=4096", "vocab_size")
        spare, padding = -self.vocab_size % self.vocab_multiple, self.embedding.padding_token
        rows, width = self.vocab_size + spare, self.embedding.table_dim(dim)
        return Embedding(rows, width, site=Site("token_embedding"), padding_index=padding, spare=spare)

    def build_backbone(self) -> Backbone:
        """The backbone, its weights unset."""
        raise NotImplementedError

    def build(self, seed: int = 0) -> Model:
        """The model with its weights drawn.

        Args:
            seed: the same seed gives the same weights; the global random stream is not used.
        """
        with collector_paused():
            model = self.build_unset()
            initialize(model, self.initialization, seed)
        return model

    def build_unset(self) -> Model:
        """The model with its weights unset, for loading into or, under `torch.device("meta")`, for counting."""
        backbone = self.build_backbone()
        stack = self.sides()[-1].stack
        tokens, factorized = backbone.tokens, self.embedding.factorization is not None
        shape = HeadShape(stack.dim, tokens.num_embeddings - tokens.spare, tokens, stack.norm, factorized)
        return Model(self, backbone, {name: head.build(shape) for name, head in self.heads.items()})


@contextlib.contextmanager
def collector_paused() -> Iterator[None]:
    """No garbage collection inside, and at the end one of what is young.

    Building a model makes objects that stay; a full collection in its midst or right after it would find nothing, and
    to look through all that torch has imported takes longer than to build a small model.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.collect(1)
            gc.enable()


def _mixing(config: Config, has_norm: bool) -> dict[str, str]:
    """Key of each part under a config that mixes rows → why; its own `norm` counts where it stands somewhere."""
    return {key: why for key, why in _all_mixing(config) if has_norm or key != "norm"}


def _all_mixing(config: Config, prefix: str = "") -> Iterator[tuple[str, str]]:
    for field in fields(config):
        value, key = getattr(config, field.name), f"{prefix}{field.name}"
        if isinstance(value, Config):
            if reason := getattr(value, "mixes_rows", ""):
                yield key, f"{getattr(value, 'kind', key)} {reason}"
            yield from _all_mixing(value, f"{key}.")


class Side(NamedTuple):
    """One stack of a model.

    Attributes:
        key: where its settings stand in the model's config; "": beside those of the model.
        stack: the settings.
        causal: whether a position sees only itself and earlier ones.
    """

    key: str
    stack: StackConfig
    causal: bool


class Backbone(nn.Module):
    """Token ids to hidden states; the base of the families."""

    output_side: ClassVar[str] = ""
    """How the inputs begin whose places the hidden states are of: nothing, or "decoder_"."""

    writes_apart: ClassVar[bool] = False
    """Whether a text that is written stands by itself, behind one token, while another stack reads its prompt."""

    @property
    def reading_stack(self) -> Stack:
        """The stack that reads what is given."""
        raise self._unwritten("reading_stack", "a property: the Stack that reads what is given")

    @property
    def writing_stack(self) -> Stack:
        """The stack that makes the hidden states, and whose keys and values are cached while a text is written."""
        raise self._unwritten("writing_stack", "a property: the Stack that makes the hidden states")

    def read(self, tokens: Tensor, positions: Tensor | None, documents: Tensor | None) -> Tensor:
        """(B, T) ids → (B, T, D) hidden states of the stack that reads; arguments as in the families' forward."""
        raise self._unwritten("read", "(tokens, positions, documents) → hidden states of the stack that reads")

    @property
    def tokens(self) -> Embedding:
        """The token table, which a tied output layer shares."""
        raise self._unwritten("tokens", "a property: the Embedding that turns ids into vectors")

    def _unwritten(self, name: str, meaning: str) -> ZooError:
        return ZooError(
            f"the backbone {type(self).__name__} has no {name}, which is needed here; write it in the class as "
            f"{meaning} (zoo.models.base.SelfBackbone has one)"
        )


class SelfBackbone(Backbone):
    """One embedding and one stack: encoder-only and decoder-only models.

    Args:
        config: the model's config; its `causal` says which of the two it is.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        table = config.token_table(config.dim)
        self.embedding = TokenEmbedding(config.embedding, table, config.norm, config.dropout.embedding, config.dim)
        self.stack = Stack(config, causal=config.causal, embedding_dim=config.embedding.sum_dim(config.dim))
        self.padding_aware = padding_aware(self.embedding)

    @property
    def tokens(self) -> Embedding:
        """The token table."""
        return self.embedding.tokens

    @property
    def reading_stack(self) -> Stack:
        """The only stack."""
        return self.stack

    @property
    def writing_stack(self) -> Stack:
        """The only stack."""
        return self.stack

    def read(self, tokens: Tensor, positions: Tensor | None, documents: Tensor | None) -> Tensor:
        """(B, T) ids → (B, T, D), what forward gives."""
        hidden_BTD: Tensor = self(tokens, positions, documents)
        return hidden_BTD

    def run(
        self,
        tokens: Tensor,
        positions: Tensor | None,
        documents: Tensor | None,
        segments: Tensor | None = None,
        **options: Any,
    ) -> Tensor:
        """(B, T) ids → (B, T, D); what the families' forwards share."""
        positions = row_positions(tokens, options.get("cache")) if positions is None else positions
        tell_padding(self.padding_aware, documents)
        hidden_BTD = self.embedding(tokens, positions, segments, self.stack.positions.embed)
        return self.stack(hidden_BTD, positions, documents, **options)


def row_positions(tokens_BT: Tensor, cache: StackCache | None = None) -> Tensor:
    """(1, T) positions of rows that are one document each: 0 … T−1, counted on from what is cached."""
    start = 0 if cache is None else cache.length
    return (start + torch.arange(tokens_BT.shape[1], device=tokens_BT.device))[None]


class Model(nn.Module):
    """A backbone and named heads.

    Args:
        config: what both were built from.
        backbone: token ids to hidden states.
        heads: hidden states to logits, by name.
    """

    def __init__(self, config: ModelConfig, backbone: Backbone, heads: dict[str, nn.Module]) -> None:
        super().__init__()
        self.config = config
        self.backbone = backbone
        self.heads = nn.ModuleDict(heads)
        self.inputs = tuple(inspect.signature(backbone.forward).parameters)
        self.padding_aware = padding_aware(self.heads)

    def forward(self, *unnamed: Any, **inputs: Any) -> dict[str, Tensor]:
        """Logits of every head, by name; `inputs` as the backbone's forward takes them.

        Raises:
            DataError: an input that this family does not take, or token ids that are no (B, T) of integers in range.
            ConfigError: an input without its name.
        """
        if unnamed:
            raise ConfigError(
                f"a model takes its inputs by name: write {self.inputs[0]}=…; it takes: {', '.join(self.inputs)}"
            )
        unknown = [name for name in inputs if name not in self.inputs]
        if unknown:
            known = ", ".join(self.inputs)
            raise DataError(f"a model of kind {self.config.kind!r} takes no {', '.join(unknown)}; it takes: {known}")
        for name in ("tokens", "decoder_tokens"):
            ids = inputs.get(name)
            if ids is not None and (ids.dim() != 2 or ids.dtype not in (torch.int32, torch.int64)):
                raise DataError(
                    f"{name} must be token ids, (rows, length) of int64, not {tuple(ids.shape)} of "
                    f"{str(ids.dtype).removeprefix('torch.')}"
                )
        hidden_BTD = self.backbone(**inputs)
        tell_padding(self.padding_aware, inputs.get(f"{self.backbone.output_side}documents"))
        logits = {name: head(hidden_BTD) for name, head in self.heads.items()}
        tell_padding(self.padding_aware, None)  # whoever calls a head by itself speaks of another batch
        return logits

    @property
    def num_parameters(self) -> int:
        """How many numbers the model has; what is shared counts once, spare rows of a padded vocabulary count too."""
        return sum(parameter.numel() for parameter in self.parameters())
