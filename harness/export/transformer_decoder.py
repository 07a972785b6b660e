"""An exported transformer that decodes step by step under ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor

from modnas.spaces.transformer.decoding import Cache
from modnas.spaces.transformer.network import Memory


class OnnxDecoder:
    """A `modnas.spaces.transformer.decoding.Decoder` of the models of `encoder_onnx` and `step_onnx`.

    Args:
        encoder, step: serialised models.
        threads: of ONNX Runtime.
    """

    def __init__(self, encoder: bytes, step: bytes, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = threads
        self._encoder, self._step = (
            onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
            for model in (encoder, step)
        )
        self._inputs = {value.name: value.shape for value in self._step.get_inputs()}

    def start(self, source: Tensor) -> Cache:
        """See `Decoder`."""
        parts = [torch.from_numpy(a) for a in self._encoder.run(None, {"source": source.numpy()})]
        memories = tuple(Memory(*parts[n : n + 3]) for n in range(0, len(parts), 3))
        own = tuple(
            (self._empty(f"cache_keys{n}", len(source)), self._empty(f"cache_values{n}", len(source)))
            for n in range(len(memories))
        )
        return Cache(own, memories)

    def _empty(self, name: str, batch: int) -> Tensor:
        _, *rest = self._inputs[name]
        return torch.zeros(batch, *(size if isinstance(size, int) else 0 for size in rest))

    def step(self, tokens: Tensor, cache: Cache) -> tuple[Tensor, Cache]:
        """See `Decoder`."""
        feeds: dict[str, np.ndarray[Any, Any]] = {"tokens": tokens.numpy()}
        for n, (own, memory) in enumerate(zip(cache.own, cache.memories, strict=True)):
            feeds[f"cache_keys{n}"], feeds[f"cache_values{n}"] = (part.numpy() for part in own)
            for what, part in memory._asdict().items():
                feeds[f"memory_{what}{n}"] = part.numpy()
        scores, *caches = (torch.from_numpy(a) for a in self._step.run(None, feeds))
        return scores, Cache(tuple(zip(caches[::2], caches[1::2], strict=True)), cache.memories)
