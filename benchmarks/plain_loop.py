"""Median latency of a network in a plain loop around its runtime, written without the harness.

    python benchmarks/plain_loop.py MODEL.onnx|MODEL.pt2|MODEL.so [SHAPE] [SECONDS]

ONNX Runtime, PyTorch (`torch.export`) or TVM, by the file's suffix; SHAPE is that of the input, 1x3x32x32
unless given. Prints the median of a call in milliseconds. One thread, on the highest-numbered CPU allowed.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = os.environ["TVM_NUM_THREADS"] = "1"

import numpy as np


def onnxruntime_call(path: str, data: np.ndarray) -> Callable[[], object]:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: data}
    return lambda: session.run(None, feed)


def torch_call(path: str, data: np.ndarray) -> Callable[[], object]:
    import torch

    torch.set_num_threads(1)
    module = torch.export.load(path).module(check_guards=False)
    tensor = torch.from_numpy(data)

    def call() -> object:
        with torch.inference_mode():
            return module(tensor)

    return call


def tvm_call(path: str, data: np.ndarray) -> Callable[[], object]:
    import tvm
    from tvm import relax

    machine = relax.VirtualMachine(tvm.runtime.load_module(path), tvm.cpu())
    tensor = tvm.runtime.tensor(data, tvm.cpu())
    main = machine["main"]
    return lambda: main(tensor)


CALLS = {".onnx": onnxruntime_call, ".pt2": torch_call, ".so": tvm_call}


def main() -> None:
    path = sys.argv[1]
    shape = [int(n) for n in (sys.argv[2] if len(sys.argv) > 2 else "1x3x32x32").split("x")]
    seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 1.0
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    data = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    call = CALLS[Path(path).suffix](path, data)

    warm_until = time.perf_counter() + seconds / 4
    while time.perf_counter() < warm_until:
        call()
    samples = []
    stop = time.perf_counter() + seconds
    while time.perf_counter() < stop:
        begin = time.perf_counter()
        call()
        samples.append(time.perf_counter() - begin)
    print(statistics.median(samples) * 1e3)


if __name__ == "__main__":
    main()
