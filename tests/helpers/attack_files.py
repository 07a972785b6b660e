"""Files as people have them: of other kinds, cut off, with one thing wrong."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save

ARCH = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"
TABLE = f"arch,value\n{ARCH},1.5\n"


def _pickled() -> bytes:
    return pickle.dumps({"weight": [1.0]})


def _torch() -> bytes:
    file = io.BytesIO()
    torch.save({"weight": torch.zeros(2)}, file)
    return file.getvalue()


def _npz() -> bytes:
    file = io.BytesIO()
    np.savez(file, values=np.zeros(3))
    return file.getvalue()


def _zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("readme.txt", "hello")
    return file.getvalue()


def _foreign_weights() -> bytes:
    return save({"encoder.weight": torch.zeros(3, 3)})


def _huge_header() -> bytes:
    return struct.pack("<Q", 1 << 60) + b"{}"


#: Content by name; what a table of measurements, a list of networks or weights may turn out to be.
FILES: Mapping[str, bytes] = {
    "empty": b"",
    "blank.txt": b"\n\n  \n",
    "garbage": bytes(range(256)) * 4,
    "latin.csv": "arch,value\nnetz größe,1\n".encode("latin-1"),
    "nul.txt": b"arch\0value\n",
    "page.html": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
    "pickle.pt": _pickled(),
    "torch.pt": _torch(),
    "cut.pt": _torch()[:200],
    "arrays.npz": _npz(),
    "cut.npz": _npz()[:40],
    "archive.zip": _zip(),
    "packed.gz": gzip.compress(TABLE.encode(), mtime=0),
    "net.onnx": b"\x08\x07\x12\x07pytorch" + bytes(100),
    "image.png": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "paper.pdf": b"%PDF-1.7\n" + bytes(100),
    "program": b"\x7fELF" + bytes(100),
    "foreign.safetensors": _foreign_weights(),
    "cut.safetensors": _foreign_weights()[:40],
    "huge.safetensors": _huge_header(),
    "nothing.json": b"null",
    "number.json": b"42",
    "open.json": b'[{"ks": [3, 5',
    "deep.json": b"[" * 5000 + b"]" * 5000,
    "other.json": json.dumps([{"name": "resnet18"}]).encode(),
    "broken.yaml": b"a: [1\nb: }\n",
    "word.txt": b"resnet18\n",
    "second.txt": f"{ARCH}\n|none~0|\n".encode(),
    "long.txt": b"x" * 1_000_000 + b"\n",
    "header.csv": f"name,latency\n{ARCH},1\n".encode(),
    "headless.csv": f"{ARCH},1\n".encode(),
    "semicolon.csv": f"arch;value\n{ARCH};1\n".encode(),
    "only-header.csv": b"arch,value\n",
    "fields.csv": f"arch,value\n{ARCH},1,ms\n".encode(),
    "word.csv": f"arch,value\n{ARCH},fast\n".encode(),
    "comma.csv": f'arch,value\n{ARCH},"1,5"\n'.encode(),
    "nan.csv": f"arch,value\n{ARCH},nan\n".encode(),
    "negative.csv": f"arch,value\n{ARCH},-1\n".encode(),
    "zero.csv": f"arch,value\n{ARCH},0\n".encode(),
    "twice.csv": f"arch,value\n{ARCH},1\n{ARCH},2\n".encode(),
    "quote.csv": f'arch,value\n"{ARCH},1\n'.encode(),
    "network.csv": b"arch,value\nresnet18,1\n",
}

#: Profiles with one thing wrong, by the name of the device.
PROFILES: Mapping[str, str] = {
    "hollow": "",
    "listed": "- name: listed\n",
    "text": "just words\n",
    "other": "name: another\n",
    "field": "name: field\ncolour: red\n",
    "typo": "name: typo\nbacth: 4\n",
    "word": "name: word\nbatch: four\n",
    "large": "name: large\nbatch: 70000\n",
    "yes": "name: yes\nbackend: yes\n",
    "twice": "name: twice\nbatch: 1\nbatch: 2\n",
    "tagged": "name: !!python/object/apply:os.system ['true']\n",
    "tabbed": "name: tabbed\npolicy:\n\tprecision: 0.1\n",
    "runtime": "name: runtime\nbackend: tensorrt\n",
    "option": "name: option\noptions: {threads: 0}\n",
    "policy": "name: policy\npolicy: {precision: 7}\n",
    "infinite": "name: infinite\npolicy: {max_time_s: .inf}\n",
    "way": "name: way\ntransport: telnet\n",
    "port": "name: port\ntransport: {ssh: {port: 99999}}\n",
    "host": "name: host\ntransport: {ssh: {host: '-oProxyCommand=true'}}\n",
    "sensor": "name: sensor\npower_sensor: {name: crystal-ball}\n",
    "watts": "name: watts\ntdp_w: -5\n",
}


def write_files(work: Path, home: Path) -> None:
    """Put all of them where a person has them."""
    for name, content in FILES.items():
        (work / name).write_bytes(content)
    for name, text in PROFILES.items():
        (home / "devices" / f"{name}.yaml").write_text(text)
