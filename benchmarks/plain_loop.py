"""Median latency of an ONNX file in a plain ONNX Runtime loop, written without the harness.

    python benchmarks/plain_loop.py MODEL.onnx [SECONDS]

Prints the median of a `session.run` in milliseconds. One thread, on the highest-numbered CPU allowed.
"""

import os
import statistics
import sys
import time

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
import onnxruntime as ort


def main() -> None:
    path, seconds = sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 1.0
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    model_input = session.get_inputs()[0]
    data = np.random.default_rng(0).uniform(-1, 1, model_input.shape).astype(np.float32)
    feed = {model_input.name: data}

    warm_until = time.perf_counter() + seconds / 4
    while time.perf_counter() < warm_until:
        session.run(None, feed)
    samples = []
    stop = time.perf_counter() + seconds
    while time.perf_counter() < stop:
        begin = time.perf_counter()
        session.run(None, feed)
        samples.append(time.perf_counter() - begin)
    print(statistics.median(samples) * 1e3)


if __name__ == "__main__":
    main()
