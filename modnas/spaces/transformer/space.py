"""The transformer space of HAT (table 4 of the MODNAS paper).

Six encoder layers and one to six decoder layers; an embedding width for each side, feed-forward width and
heads for each layer, and for each decoder layer the heads of its attention to the encoder and how many
encoder layers it attends to. Choices for decoder layers that an architecture does not have are none: they are
always 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from modnas.core.architecture import Architecture, ArchitectureError
from modnas.core.inputs import InputSpec
from modnas.core.preset import Preset
from modnas.core.source import GraphWriter
from modnas.core.space import Space
from modnas.spaces.transformer.choices import (
    ATTENDED,
    DECODER_GROUPS,
    GROUPS,
    HYPERNETWORK_TABLES,
    OPTIONS,
    Sizes,
    alive_layers,
    grouped,
    parts_of,
)
from modnas.spaces.transformer.decoding import TimedTranslation
from modnas.spaces.transformer.network import PAD, Settings, TransformerNetwork
from modnas.spaces.transformer.plan import (
    ENCODER_LAYERS,
    MAX_DECODER_LAYERS,
    Plan,
    PlanError,
    format_plan,
    from_hat,
    is_hat,
    parse_plan,
)
from modnas.spaces.transformer.presets import PRESETS
from modnas.spaces.transformer.supernetwork import TransformerSupernetwork

# The ten references: (embedding, feed-forward, heads) of the encoder, (embedding, feed-forward, heads, heads
# to the encoder) of the decoder as positions among the options, 0 the largest; decoder layers; encoder layers
# attended to. All layers are alike. None are published for this space: these are the largest and the smallest
# network, a large encoder with a small decoder and the reverse, and six that differ in everything else.
_REFERENCES = (
    ((0, 0, 0), (0, 0, 0, 0), 6, 3),
    ((1, 2, 1), (1, 2, 1, 1), 1, 1),
    ((0, 0, 0), (1, 2, 0, 0), 1, 1),
    ((1, 2, 1), (0, 0, 1, 1), 6, 1),
    ((1, 1, 0), (1, 1, 0, 0), 3, 1),
    ((0, 0, 1), (1, 0, 1, 1), 2, 2),
    ((1, 2, 0), (0, 1, 0, 0), 4, 3),
    ((0, 1, 1), (0, 2, 1, 0), 5, 1),
    ((1, 0, 0), (1, 1, 0, 0), 2, 3),
    ((0, 2, 1), (1, 2, 1, 1), 4, 2),
)


class Transformer(Space):
    """Encoder-decoder transformers for translation, HAT's for WMT'14 En-De unless told otherwise.

    Args:
        classes: size of the vocabulary, shared by source and target.
        input_shape: (2, n): a sentence and what the decoder is given, of n tokens each. n is what is timed.
        embed: widths of the embeddings, the larger first; a number stands for itself and 4/5 of it.
        ffn: widths of the feed-forward parts, falling; a number for itself, 2/3 and 1/3 of it.
        heads: numbers of heads, the larger first; a number for itself and its half.
        inner: width of queries, keys and values.
        positions: the longest sentence.
        norm_first: 1 to normalise before each branch, which trains without a long warm-up; HAT does it after.
        drop_percent: dropout in training.

    Raises:
        ValueError: sizes that do not fit together.
    """

    name: ClassVar[str] = "transformer"
    options: ClassVar[tuple[int, ...]] = OPTIONS
    tables: ClassVar[tuple[tuple[int, int], ...] | None] = HYPERNETWORK_TABLES
    presets: ClassVar[Mapping[str, Preset]] = PRESETS

    def __init__(
        self,
        *,
        classes: int = 32768,
        input_shape: Sequence[int] = (2, 30),
        embed: int | Sequence[int] = 640,
        ffn: int | Sequence[int] = 3072,
        heads: int | Sequence[int] = 8,
        inner: int = 512,
        positions: int = 256,
        norm_first: int = 0,
        drop_percent: int = 10,
    ) -> None:
        self.classes, self._input_shape = classes, tuple(input_shape)
        self.embed = (embed, embed * 4 // 5) if isinstance(embed, int) else tuple(embed)
        self.ffn = (ffn, ffn * 2 // 3, ffn // 3) if isinstance(ffn, int) else tuple(ffn)
        self.heads = (heads, heads // 2) if isinstance(heads, int) else tuple(heads)
        self.inner, self.positions = inner, positions
        self.norm_first, self.drop_percent = norm_first, drop_percent
        lists = (self.embed, self.ffn, self.heads)
        if [len(sizes) for sizes in lists] != [2, 3, 2]:
            raise ValueError(
                "2 sizes of embeddings, 3 of feed-forward parts and 2 numbers of heads are needed"
            )
        if any(list(sizes) != sorted({*sizes}, reverse=True) or sizes[-1] < 1 for sizes in lists):
            raise ValueError(f"sizes must fall and be positive: {lists}")
        if any(inner % count for count in self.heads):
            raise ValueError(f"{inner} channels cannot be divided among {self.heads} heads")
        if len(self._input_shape) != 2 or self._input_shape[0] != 2 or self._input_shape[1] > positions:
            raise ValueError(f"input_shape is (2, n) with n at most {positions}, not {self._input_shape}")
        if classes < 4 or not 0 <= drop_percent < 100:
            raise ValueError("a vocabulary has at least 4 tokens, drop_percent is 0 to 99")

    @property
    def variant(self) -> str:
        def dots(sizes: Sequence[int]) -> str:
            return ".".join(str(size) for size in sizes)

        sizes = f"e{dots(self.embed)}-f{dots(self.ffn)}-h{dots(self.heads)}-q{self.inner}"
        extra = ("-pre" if self.norm_first else "") + (
            f"-drop{self.drop_percent}" if self.drop_percent != 10 else ""
        )
        return f"{sizes}-v{self.classes}-n{self._input_shape[1]}{extra}"

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self._input_shape

    def inputs(self, architecture: Architecture) -> tuple[InputSpec, ...]:
        """Tokens of a sentence and of what the decoder is given, without PAD: nothing is hidden."""
        return (InputSpec("input", self._input_shape, "int64", (PAD + 1, self.classes - 1)),)

    @property
    def writer(self) -> GraphWriter:
        from modnas.spaces.transformer.export import TransformerWriter  # which imports ONNX

        return TransformerWriter()

    @property
    def size(self) -> int:
        """Distinct architectures: choices of absent decoder layers do not count."""
        encoder = 2 * 2 * 6**ENCODER_LAYERS
        decoder = sum(math.prod((3, 2, 2, 3)) ** depth for depth in range(1, MAX_DECODER_LAYERS + 1))
        return int(encoder * decoder)

    @property
    def references(self) -> tuple[Architecture, ...]:
        return tuple(self.uniform(*row) for row in _REFERENCES)

    @property
    def largest(self) -> Plan:
        """The network that holds all others."""
        return self.sizes.largest

    @property
    def sizes(self) -> Sizes:
        """What the options of the decisions stand for."""
        return Sizes(self.embed, self.ffn, self.heads)

    @property
    def settings(self) -> Settings:
        """What shapes the networks besides their plans."""
        signals = self.positions, self.embed[0]
        return Settings(self.classes, self.inner, signals, bool(self.norm_first), self.drop_percent / 100)

    def uniform(
        self, encoder: tuple[int, int, int], decoder: tuple[int, int, int, int], depth: int, attended: int
    ) -> Architecture:
        """The architecture whose layers are alike.

        Args:
            encoder: embedding, feed-forward width, heads, as positions among the options.
            decoder: the same, and the heads of the attention to the encoder.
            depth, attended: decoder layers and encoder layers they attend to, as numbers.
        """
        parts = {
            "encoder_embed": encoder[:1],
            "encoder_ffn": encoder[1:2],
            "encoder_heads": encoder[2:],
            "decoder_embed": decoder[:1],
            "decoder_ffn": decoder[1:2],
            "decoder_heads": decoder[2:3],
            "cross_heads": decoder[3:],
            "depth": (depth - 1,),
            "attended": (ATTENDED.index(attended),),
        }
        return self.architecture([c for name, (count, _) in GROUPS.items() for c in parts[name] * count])

    def architecture(self, choices: Sequence[int]) -> Architecture:
        """See `Space.architecture`; choices for absent decoder layers become 0."""
        if len(choices) != len(self.options) or not all(
            0 <= c < o for c, o in zip(choices, self.options, strict=True)
        ):
            raise ArchitectureError(f"a transformer has choices below {self.options}: {tuple(choices)}")
        parts = parts_of(choices)
        depth = parts["depth"][0] + 1
        for group in DECODER_GROUPS:
            parts[group] = parts[group][:depth] + (0,) * (MAX_DECODER_LAYERS - depth)
        kept = tuple(int(c) for part in parts.values() for c in part)
        return Architecture(self.name, format_plan(self.sizes.plan(kept)), kept)

    def plan(self, architecture: Architecture) -> Plan:
        """The sizes of an architecture's network."""
        return self.sizes.plan(architecture.choices)

    def from_plan(self, plan: Plan) -> Architecture:
        """The architecture with these sizes. Raises ArchitectureError if they are not in the space."""
        absent = (0,) * (MAX_DECODER_LAYERS - plan.depth)
        try:
            choices = [
                self.embed.index(plan.encoder_embed),
                self.embed.index(plan.decoder_embed),
                *(self.ffn.index(width) for width in plan.encoder_ffn),
                *(self.ffn.index(width) for width in plan.decoder_ffn),
                *absent,
                *(self.heads.index(count) for count in plan.encoder_heads),
                *(self.heads.index(count) for count in plan.decoder_heads),
                *absent,
                plan.depth - 1,
                *(self.heads.index(count) for count in plan.cross_heads),
                *absent,
                *(ATTENDED.index(count) for count in plan.attended),
                *absent,
            ]
        except ValueError as error:
            sizes = f"embeddings {self.embed}, feed-forward {self.ffn}, heads {self.heads}"
            raise ArchitectureError(f"{format_plan(plan)} is not in the space of {sizes}") from error
        return self.architecture(choices)

    def parse(self, text: str) -> Architecture:
        try:
            return self.from_plan(parse_plan(text.strip().removeprefix(f"{self.name}:")))
        except PlanError as error:
            raise ArchitectureError(str(error)) from error

    def from_published(self, content: object) -> Architecture | None:
        """The content of one of HAT's YAML files, also as `config` beside what is said about it."""
        inside = content.get("config") if isinstance(content, Mapping) else None
        found = inside if is_hat(inside) else content
        if not is_hat(found):
            return None
        try:
            return self.from_plan(from_hat(found))
        except PlanError as error:
            raise ArchitectureError(str(error)) from error

    def is_usable(self, architecture: Architecture) -> bool:
        """Always: every one of them reads its input."""
        return True

    def chosen_features(self, onehot: Tensor) -> Tensor:
        """See `Space.chosen_features`: rows of absent decoder layers are multiplied by 0."""
        groups = grouped(onehot)
        alive = alive_layers(groups).unsqueeze(-1)
        found = groups._replace(**{name: getattr(groups, name) * alive for name in DECODER_GROUPS})
        return torch.cat([part.flatten(-2) for part in found], -1)

    def predictor_features(self, onehot: Tensor) -> Tensor:
        """What a runtime executes, without the layers' order, on which latency does not depend.

        Returns:
            Shape (n, 39): embeddings (4), decoder layers (6), how often each option occurs in the encoder (5)
            and in the decoder's layers that exist (10: feed-forward, heads, heads to the encoder, attended
            layers); products of a side's embedding with its feed-forward widths (6 and 6) and of the
            decoder's with its depth (2).
        """
        groups = grouped(self.chosen_features(onehot))
        encoder = torch.cat([groups.encoder_ffn.sum(-2), groups.encoder_heads.sum(-2)], -1)
        decoder = torch.cat([getattr(groups, name).sum(-2) for name in DECODER_GROUPS], -1)
        first, second = groups.encoder_embed[..., 0, :], groups.decoder_embed[..., 0, :]
        depth = alive_layers(groups).sum(-1, keepdim=True)
        products = [
            (first.unsqueeze(-1) * groups.encoder_ffn.sum(-2).unsqueeze(-2)).flatten(-2),
            (second.unsqueeze(-1) * groups.decoder_ffn.sum(-2).unsqueeze(-2)).flatten(-2),
            second * depth,
        ]
        return torch.cat([first, second, groups.depth[..., 0, :], encoder, decoder, *products], -1)

    def average_features(self, onehot: Tensor) -> Tensor:
        """HAT's ten averages over layers (see `hat_features`): (n, width) -> (n, 10), differentiable."""
        groups = grouped(onehot)
        alive = alive_layers(groups)
        depth = alive.sum(-1)

        def chosen_sizes(name: str, options: Sequence[int]) -> Tensor:
            table: Tensor = getattr(groups, name)
            return table @ table.new_tensor(list(options))

        def decoder_mean(name: str, options: Sequence[int]) -> Tensor:
            return (chosen_sizes(name, options) * alive).sum(-1) / depth

        return torch.stack(
            [
                chosen_sizes("encoder_embed", self.embed)[..., 0],
                torch.full_like(depth, ENCODER_LAYERS),
                chosen_sizes("encoder_ffn", self.ffn).mean(-1),
                chosen_sizes("encoder_heads", self.heads).mean(-1),
                chosen_sizes("decoder_embed", self.embed)[..., 0],
                depth,
                decoder_mean("decoder_ffn", self.ffn),
                decoder_mean("decoder_heads", self.heads),
                decoder_mean("cross_heads", self.heads),
                decoder_mean("attended", ATTENDED),
            ],
            -1,
        )

    def multiply_adds(self, architectures: Sequence[Architecture]) -> Tensor:
        """See `Space.multiply_adds`: of one sentence, translated token by token."""
        tokens = self._input_shape[1]
        work = [tokens * self._of_a_token(self.plan(a), tokens) for a in architectures]
        return torch.tensor(work, dtype=torch.float64)

    def _of_a_token(self, plan: Plan, tokens: int) -> int:
        """Multiply-adds by token of the sentence, projections and what each token attends to."""
        encoder, decoder = plan.encoder_embed, plan.decoder_embed
        scores = 2 * tokens * self.inner
        work = sum(4 * encoder * self.inner + 2 * encoder * ffn + scores for ffn in plan.encoder_ffn)
        for ffn, attended in zip(plan.decoder_ffn, plan.attended, strict=True):
            own = 4 * decoder * self.inner + scores // 2  # on average, half of the sentence is there
            cross = 2 * decoder * self.inner + attended * (2 * encoder * self.inner + scores)
            work += own + cross + 2 * decoder * ffn
        return work + decoder * self.classes

    def network(self, architecture: Architecture) -> nn.Module:
        return TransformerNetwork(self.plan(architecture), self.settings)

    def measured(self, network: nn.Module) -> nn.Module:
        """Encoder and one decoder step a token: see `TimedTranslation`."""
        if not isinstance(network, TransformerNetwork):
            raise TypeError(f"a network of the transformer space is needed, not {type(network).__name__}")
        return TimedTranslation(network)

    def supernetwork(self) -> TransformerSupernetwork:
        return TransformerSupernetwork(self.sizes, self.settings)
