"""Small files that unpack to gigabytes."""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from pathlib import Path

import numpy as np

MB = 1 << 20
_PART = 64 * MB


def gzip_bomb(path: Path, mb: int, line: bytes = b"1\n") -> Path:
    """A gzip file of `mb` MB of one line, again and again."""
    part = gzip.compress(line * (_PART // len(line)), 9)
    path.write_bytes(part * (mb * MB // _PART))
    return path


def npz_bomb(path: Path, mb: int, said_bytes: int | None = None) -> Path:
    """An npz file with one array of `mb` MB of zeros; `said_bytes`: what the zip says of its size."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (mb * MB,)}
    )
    # After a full flush nothing refers to what was before: one part can be there many times.
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    first = packer.compress(header.getvalue()) + packer.flush(zlib.Z_FULL_FLUSH)
    part = packer.compress(bytes(_PART)) + packer.flush(zlib.Z_FULL_FLUSH)
    data = first + part * (mb * MB // _PART) + packer.flush()
    size = mb * MB + len(header.getvalue()) if said_bytes is None else said_bytes
    name = b"latency.npy"
    # Version, flags, method 8 (deflate), time, date, checksum, sizes, length of the name and of more.
    about = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 33, 0, len(data), size, len(name), 0)
    local = b"PK\x03\x04" + about + name + data
    central = b"PK\x01\x02" + struct.pack("<H", 20) + about + struct.pack("<HHHII", 0, 0, 0, 0, 0) + name
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central), len(local), 0)
    path.write_bytes(local + central + end)
    return path


def png_bomb(path: Path, side: int) -> Path:
    """A black image of side x side pixels, 8 bits each."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    packer = zlib.compressobj(1)
    row = bytes(1 + side)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    about = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", about) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )
    return path
