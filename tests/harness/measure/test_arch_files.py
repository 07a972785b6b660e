"""Files for `--archs` as people have them: the published forms, any line ends, and files of other kinds."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import yaml
from onnx import TensorProto, helper
from safetensors.torch import save_file

from harness.core.errors import UsageError
from harness.measure.arch_lists import select_architectures
from modnas.spaces import Space, get_space

CELLS = get_space("nasbench201")
OFA = get_space("mobilenetv3")
HAT = get_space("transformer")
FIRST = CELLS.references[0]
OPERATORS = ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"]


def read(path: Path, space: Space, content: str | bytes) -> list[str]:
    """The strings of the architectures in a file with this content."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return [one.string for one in select_architectures(str(path), space)]


def genotype() -> tuple[tuple[tuple[str, int], ...], ...]:
    """The first reference as NAS-Bench-201's programs hold it."""
    ops = [OPERATORS[choice] for choice in FIRST.choices]
    return ((ops[0], 0),), ((ops[1], 0), (ops[2], 1)), ((ops[3], 0), (ops[4], 1), (ops[5], 2))


def hat_yaml(depth: int = 2, **changed: object) -> str:
    """A sub-transformer as HAT's repository has it, with lists longer than its layers."""
    config = {
        "encoder-embed-dim-subtransformer": 640,
        "decoder-embed-dim-subtransformer": 512,
        "encoder-ffn-embed-dim-all-subtransformer": [3072] * 6,
        "decoder-ffn-embed-dim-all-subtransformer": [2048] * 6,
        "encoder-layer-num-subtransformer": 6,
        "decoder-layer-num-subtransformer": depth,
        "encoder-self-attention-heads-all-subtransformer": [8] * 6,
        "decoder-self-attention-heads-all-subtransformer": [4] * 6,
        "decoder-ende-attention-heads-all-subtransformer": [8] * 6,
        "decoder-arbitrary-ende-attn-all-subtransformer": [-1, 1, 2, -1, 1, 2],
    }
    return yaml.safe_dump({**config, **changed}, sort_keys=False)


@pytest.mark.parametrize("mark", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_marks_and_line_ends(tmp_path: Path, mark: str, end: str) -> None:
    first, second = CELLS.references[:2]
    content = end.join(["", first.id, f"  {second.string} ", ""]).encode(mark)
    assert read(tmp_path / "cells.txt", CELLS, content) == [first.string, second.string]


@pytest.mark.parametrize(
    "form",
    [
        "11982",
        str(FIRST.choices),
        json.dumps(FIRST.choices),
        str(tuple(OPERATORS[choice] for choice in FIRST.choices)),
        str(genotype()),
        json.dumps(genotype()),
        f"Structure(4 nodes with {FIRST.string})",
        str([list(reversed(node)) for node in genotype()]),
    ],
)
def test_forms_of_a_cell(tmp_path: Path, form: str) -> None:
    second = CELLS.references[1].string
    assert read(tmp_path / "cells.txt", CELLS, f"{form}\n{second}\n{form}") == [
        FIRST.string,
        second,
        FIRST.string,
    ]
    assert read(tmp_path / "cells.txt", CELLS, form) == [FIRST.string]


def test_documents_of_cells(tmp_path: Path) -> None:
    path = tmp_path / "cells.json"
    wanted = [FIRST.string, CELLS.references[1].string]
    for cells in ([11982, 431], wanted, [FIRST.choices, 431], [genotype(), wanted[1]]):
        assert read(path, CELLS, json.dumps(cells, indent=1)) == wanted


@pytest.mark.parametrize(
    "bad",
    [
        "15625",
        "-1",
        "(1, 2, 3, 4, 5, 6)",
        "(1, 2, 3)",
        "[true, false, true, true, true, true]",
        str(genotype()).replace(", 2)", ", 1)"),
        "((('max_pool', 0),), (('none', 0), ('none', 1)), (('none', 0), ('none', 1), ('none', 2)))",
        "Structure(4 nodes with |x~0|)",
        '{"a": 1}',
        "[[[[[1]]]]]",
        "[" * 5000,
        "{'a':",
        "__import__('os').abort()",
    ],
)
def test_what_is_no_cell_is_told_with_its_place(tmp_path: Path, bad: str) -> None:
    path = tmp_path / "cells.txt"
    with pytest.raises(UsageError, match=r"cells\.txt, line 2") as caught:
        read(path, CELLS, f"{FIRST.string}\n{bad}")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 6000


def test_once_for_alls_lists(tmp_path: Path) -> None:
    path = tmp_path / "net.json"
    stages = "-".join(["k5e4.k5e4.k5e4"] * 5)
    net = {"wid": None, "ks": [5] * 20, "e": [4] * 20, "d": [3] * 5, "r": [176]}
    wanted = [f"r176-{stages}"]
    assert read(path, OFA, json.dumps(net, indent=2)) == wanted
    assert read(path, OFA, str(net)) == wanted  # as Python prints it
    assert read(path, OFA, json.dumps({"ks": 5, "e": 4, "d": 3, "r": 176, "latency_ms": 3.5})) == wanted
    assert read(path, OFA, f"{json.dumps(net)}\n{json.dumps(net)}\n") == wanted * 2
    assert read(path, OFA, json.dumps([net, wanted[0]])) == wanted * 2
    assert read(path, OFA, yaml.safe_dump(net)) == wanted


@pytest.mark.parametrize(
    "changed",
    [
        {"ks": [5] * 19},
        {"ks": [5.0] * 20},
        {"e": None},
        {"e": "4"},
        {"e": [5] * 20},
        {"d": [5] * 5},
        {"d": True},
        {"r": 225},
        {"r": [176, 224]},
        {"r": {}},
        {"wid": 1},
    ],
)
def test_lists_that_are_no_network(tmp_path: Path, changed: dict[str, object]) -> None:
    path = tmp_path / "net.json"
    net = {"ks": [5] * 20, "e": [4] * 20, "d": [3] * 5, "r": 176, **changed}
    with pytest.raises(UsageError, match=r"net\.json"):
        read(path, OFA, json.dumps(net))


def test_hats_yaml(tmp_path: Path) -> None:
    path = tmp_path / "net.yml"
    wanted = "enc640-f3072.3072.3072.3072.3072.3072-h8.8.8.8.8.8+dec512-f2048.2048-h4.4-x8.8-k1.2"
    text = hat_yaml()
    assert read(path, HAT, text) == [wanted]
    assert read(path, HAT, f"# found by a search\n\n{text}".replace("\n", "\r\n")) == [wanted]
    assert read(path, HAT, f"---\n{text}---\n{text}") == [wanted] * 2
    plain = yaml.safe_load(text.replace("-subtransformer", ""))
    assert read(path, HAT, json.dumps([{"name": "found", "latency": "9 ms", "config": plain}])) == [wanted]


@pytest.mark.parametrize(
    "changed",
    [
        {"encoder-layer-num-subtransformer": float("inf")},
        {"encoder-layer-num-subtransformer": "six"},
        {"decoder-layer-num-subtransformer": 7},
        {"decoder-layer-num-subtransformer": 0},
        {"decoder-layer-num-subtransformer": -1},
        {"encoder-embed-dim-subtransformer": 600},
        {"decoder-arbitrary-ende-attn-all-subtransformer": [3, 3]},
        {"decoder-ffn-embed-dim-all-subtransformer": 2048},
    ],
)
def test_yaml_that_is_no_transformer(tmp_path: Path, changed: dict[str, object]) -> None:
    path = tmp_path / "net.yml"
    with pytest.raises(UsageError, match=r"net\.yml, document 1"):
        read(path, HAT, hat_yaml(**changed))


@pytest.mark.parametrize(
    "text",
    ['{"ks": [', '{"ks": 5,\n "e": 4,\n}', "ks: [5", "a: !!python/object/apply:os.abort []", "a: 2024-13-45"],
)
def test_broken_documents(tmp_path: Path, text: str) -> None:
    path = tmp_path / "net.json"
    with pytest.raises(UsageError, match=r"net\.json"):
        read(path, OFA, text)


def test_published_networks(tmp_path: Path, data_dir: Path) -> None:
    nets = json.loads((data_dir / "ofa" / "reference.json").read_text())["published_help_nets"]
    assert len(read(tmp_path / "nets.json", OFA, json.dumps(nets))) == len(nets)
    published = json.loads((data_dir / "hat" / "subtransformers.json").read_text())["help"]
    assert len(read(tmp_path / "nets.json", HAT, json.dumps(published))) == len(published)
    with gzip.open(data_dir / "nb201" / "archs.csv.gz", "rt") as file:
        rows = [line.strip().partition(",") for line in file][1:]
    indices = "\n".join(index for index, _, _ in rows)
    assert read(tmp_path / "cells.txt", CELLS, indices) == [cell for _, _, cell in rows]


class Runs:
    """What a pickle may hold: unpickled, it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


def onnx_model() -> bytes:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [value], [value])
    content: bytes = helper.make_model(graph, producer_name="somebody").SerializeToString()
    assert onnx.load_model_from_string(content)
    return content


def saved(content: object, **options: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def arrays() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, a=np.zeros(3))
    return buffer.getvalue()


@pytest.mark.parametrize("of", ["pickle", "torch", "old torch"])
def test_pickles_are_told_and_never_opened(tmp_path: Path, of: str) -> None:
    trap = Runs(tmp_path / "ran")
    options = {"_use_new_zipfile_serialization": of == "torch"}
    content = pickle.dumps(trap) if of == "pickle" else saved({"net": trap}, **options)
    with pytest.raises(UsageError, match="modnas-hw search --devices NAME --weights") as caught:
        read(tmp_path / "net.pt", OFA, content)
    assert "net.pt" in str(caught.value) and not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "command"),
    [
        (onnx_model(), "harness.profile"),
        (arrays(), "modnas-hw dataset import"),
        (gzip.compress(b"text", mtime=0), "gunzip -k"),
        (b"PK\x03\x04" + bytes(22) + b"\x01\x00\x00\x00a", "unzip"),
        (b"\x89PNG\r\n\x1a\n", "--task image-folder"),
        (b"text\0with a hole", "binary"),
        (b"caf\xe9", "UTF-8"),
    ],
)
def test_other_files_are_told_with_what_takes_them(tmp_path: Path, content: bytes, command: str) -> None:
    with pytest.raises(UsageError, match=r"cells\.txt") as caught:
        read(tmp_path / "cells.txt", CELLS, content)
    assert command in str(caught.value) and "\n" not in str(caught.value)


def test_programs_of_pytorch_are_told(tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"
    torch.export.save(torch.export.export(torch.nn.ReLU(), (torch.zeros(1),)), path)
    with pytest.raises(UsageError, match="PyTorch"):
        select_architectures(str(path), OFA)


def test_safetensors_are_told(tmp_path: Path) -> None:
    path = tmp_path / "weights.txt"
    save_file({"a": torch.zeros(2)}, path)
    with pytest.raises(UsageError, match="modnas-hw search --devices NAME --weights"):
        select_architectures(str(path), OFA)
