"""HAT's space of transformers for translation."""

from modnas.spaces.transformer.space import Transformer

__all__ = ["Transformer"]
