"""The sizes of one encoder-decoder transformer, layer by layer, and the notations for them.

Source of the space: Wang et al., "HAT: Hardware-Aware Transformers for Efficient Natural Language
Processing", ACL 2020; of its table: Sukthanker et al., MODNAS, table 4.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from modnas.core.errors import InputError

ENCODER_LAYERS = 6
MAX_DECODER_LAYERS = 6
# HAT's number for how many encoder layers a decoder layer attends to, counted from the last.
HAT_ATTENDED = {-1: 1, 1: 2, 2: 3}


class PlanError(InputError, ValueError):
    """A text or a configuration that is no transformer."""

    code = "transformer-plan"


@dataclass(frozen=True)
class Plan:
    """One transformer.

    Attributes:
        encoder_embed, decoder_embed: width of the embedding and of the residual stream.
        encoder_ffn, encoder_heads: inner width of the feed-forward part and heads of each encoder layer.
        decoder_ffn, decoder_heads, cross_heads: the same of each decoder layer, with the heads of its
            attention to the encoder.
        attended: of each decoder layer, how many encoder layers it attends to: 1 is the last, 2 and 3 the
            last two and three, their positions one after the other.
    """

    encoder_embed: int
    decoder_embed: int
    encoder_ffn: tuple[int, ...]
    encoder_heads: tuple[int, ...]
    decoder_ffn: tuple[int, ...]
    decoder_heads: tuple[int, ...]
    cross_heads: tuple[int, ...]
    attended: tuple[int, ...]

    def __post_init__(self) -> None:
        depths = {len(self.decoder_ffn), len(self.decoder_heads), len(self.cross_heads), len(self.attended)}
        if len(self.encoder_ffn) != len(self.encoder_heads) or len(depths) != 1 or not self.decoder_ffn:
            raise PlanError(f"a transformer's lists differ in length or are empty: {self}")

    @property
    def depth(self) -> int:
        """Number of decoder layers."""
        return len(self.decoder_ffn)


_PATTERN = re.compile(
    r"enc(\d+)-f(\d+(?:\.\d+)*)-h(\d+(?:\.\d+)*)"
    r"\+dec(\d+)-f(\d+(?:\.\d+)*)-h(\d+(?:\.\d+)*)-x(\d+(?:\.\d+)*)-k(\d+(?:\.\d+)*)",
    re.ASCII,
)


def format_plan(plan: Plan) -> str:
    """`enc640-f3072…-h8…+dec512-f2048.1024-h8.4-x8.8-k1.3`, one number a layer.

    f: feed-forward width, h: heads, x: heads of the attention to the encoder, k: encoder layers attended to.
    """

    def dots(values: Sequence[int]) -> str:
        return ".".join(str(value) for value in values)

    return (
        f"enc{plan.encoder_embed}-f{dots(plan.encoder_ffn)}-h{dots(plan.encoder_heads)}"
        f"+dec{plan.decoder_embed}-f{dots(plan.decoder_ffn)}-h{dots(plan.decoder_heads)}"
        f"-x{dots(plan.cross_heads)}-k{dots(plan.attended)}"
    )


def parse_plan(text: str) -> Plan:
    """Read what `format_plan` writes. Raises PlanError."""
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise PlanError(
            f"not a transformer: {text!r} (expected enc640-f3072.…-h8.…+dec512-f3072.…-h8.…-x8.…-k1.…, one "
            "number a layer)"
        )
    lists = [tuple(int(number) for number in group.split(".")) for group in match.groups()]
    encoder_embed, encoder_ffn, encoder_heads, decoder_embed, *decoder = lists
    return Plan(encoder_embed[0], decoder_embed[0], encoder_ffn, encoder_heads, *decoder)


_ENCODER_LISTS = {
    "encoder-ffn-embed-dim-all": "encoder_ffn",
    "encoder-self-attention-heads-all": "encoder_heads",
}
_DECODER_LISTS = {
    "decoder-ffn-embed-dim-all": "decoder_ffn",
    "decoder-self-attention-heads-all": "decoder_heads",
    "decoder-ende-attention-heads-all": "cross_heads",
}
_ARBITRARY = "decoder-arbitrary-ende-attn-all"
_SUFFIX = "-subtransformer"


def is_hat(content: object) -> TypeGuard[Mapping[str, Any]]:
    """Whether something looks like one of HAT's configurations."""
    if not isinstance(content, Mapping) or not all(isinstance(key, str) for key in content):
        return False
    return not {"encoder-layer-num", "decoder-layer-num"}.isdisjoint(
        key.removesuffix(_SUFFIX) for key in content
    )


def from_hat(config: Mapping[str, Any]) -> Plan:
    """Read one of HAT's sub-transformer configurations.

    Args:
        config: the content of a YAML file (`yaml.safe_load`), keys with or without `-subtransformer`. Lists
            may be longer than the number of layers: HAT ignores the rest, and so does this.

    Raises:
        PlanError: a key is missing, or a value is none that HAT has.
    """
    plain = {key.removesuffix(_SUFFIX): value for key, value in config.items()}
    try:
        encoder, decoder = int(plain["encoder-layer-num"]), int(plain["decoder-layer-num"])
        parts: dict[str, tuple[int, ...]] = {
            **{name: tuple(plain[key][:encoder]) for key, name in _ENCODER_LISTS.items()},
            **{name: tuple(plain[key][:decoder]) for key, name in _DECODER_LISTS.items()},
            "attended": tuple(HAT_ATTENDED[choice] for choice in plain[_ARBITRARY][:decoder]),
        }
        if {len(parts["encoder_ffn"]), len(parts["decoder_ffn"])} != {encoder, decoder}:
            raise PlanError("a list is shorter than the number of layers")
        return Plan(int(plain["encoder-embed-dim"]), int(plain["decoder-embed-dim"]), **parts)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise PlanError(f"not a configuration of HAT's: {error!r}") from error


def hat_features(plan: Plan) -> list[float]:
    """The ten numbers of HAT's latency data, in its order (Wang et al., 2020; `hat/reference.json`).

    Embedding and layers, then feed-forward width and heads averaged over layers, of encoder and decoder; for
    the decoder also heads and layers of the attention to the encoder.
    """

    def mean(values: Sequence[int]) -> float:
        return sum(values) / len(values)

    return [
        plan.encoder_embed,
        len(plan.encoder_ffn),
        mean(plan.encoder_ffn),
        mean(plan.encoder_heads),
        plan.decoder_embed,
        plan.depth,
        mean(plan.decoder_ffn),
        mean(plan.decoder_heads),
        mean(plan.cross_heads),
        mean(plan.attended),
    ]
