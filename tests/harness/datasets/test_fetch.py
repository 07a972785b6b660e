"""Fetching published tables, from a server on this machine that has files of the published formats."""

from __future__ import annotations

import gzip
import hashlib
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fetch_upstream import Upstream

from harness.cli import main
from harness.core.errors import UsageError
from harness.core.home import file_sha256
from harness.datasets import fetch as fetching
from harness.datasets import nasbench201
from harness.datasets.convert import CONVERTERS, ConversionError
from harness.datasets.download import DownloadError
from harness.datasets.fetch import MIRROR, fetch, sources
from modnas.spaces import get_space

CELLS = [a.string for a in get_space("nasbench201").all()]
DEVICE = "data/nasbench201/latency/fpga.pt"


# Whole benchmarks.


def torch_bytes(content: Any, folder: Path) -> bytes:
    torch.save(content, folder / "made.pt")
    return (folder / "made.pt").read_bytes()


def column(values: Any, name: str) -> bytes:
    lines = "".join(f"{i},{value!r},0.1\n" for i, value in enumerate(np.asarray(values).tolist()))
    return f"index,{name},seconds\n{lines}".encode()


def publish(upstream: Upstream, benchmark: str, contents: dict[str, bytes]) -> None:
    """Serve contents by source path under the manifest's addresses."""
    for entry in sources()[benchmark]["files"]:
        address = f"/{entry['repo']}/{entry['commit']}/{entry['path']}"
        upstream.files[address] = contents[entry["path"]]


def without_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The generated files have other hashes than the published ones."""
    manifest = json.loads(json.dumps(sources()))
    for benchmark in manifest.values():
        for entry in benchmark["files"]:
            entry["sha256"] = None
    monkeypatch.setattr(fetching, "sources", lambda: manifest)


def nasbench201_files(folder: Path, metrics: dict[str, Any], latency: dict[str, Any]) -> dict[str, bytes]:
    contents = {"data/nasbench201/str_arch2idx.pt": torch_bytes({a: i for i, a in enumerate(CELLS)}, folder)}
    contents["data/nasbench201/arch_generated_by_metad2a.txt"] = (
        f"116.9\n{CELLS[3]}, 72.5, 0.25\n{CELLS[1]}, 70.25, -0.5\n".encode()
    )
    for device, values in latency.items():
        contents[f"data/nasbench201/latency/{device}.pt"] = torch_bytes(torch.as_tensor(values), folder)
    for name, short in (("cifar10", "cifar10"), ("cifar100", "cifar100"), ("ImageNet16-120", "in16")):
        root = f"cached_metrics/nats/{name}"
        contents[f"{root}/accuracies.csv"] = column(metrics[f"test_{short}"], "accuracy")
        contents[f"{root}/naswot.csv"] = column(metrics[f"zc_naswot_{short}"], "naswot")
        contents[f"{root}/logsynflow.csv"] = column(metrics[f"zc_logsynflow_{short}"], "logsynflow")
    contents["cached_metrics/nats/cifar10/params.csv"] = column(metrics["params_m_cifar10"], "params")
    return contents


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main(arguments)
    output, errors = capsys.readouterr()
    return code, output, errors


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code, output, errors = run(capsys, *arguments)
    (last,) = (line for line in errors.splitlines() if line.startswith("error: "))
    assert output == "" and "Traceback" not in errors
    return code, last


@pytest.mark.slow
def test_nasbench201_equals_the_tables_it_was_made_of(
    upstream: Upstream, tmp_path: Path, data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Published tables, put into the published files' formats, come out of `fetch` as they were."""
    known = nasbench201.load(data_dir)
    publish(upstream, "nasbench201", nasbench201_files(tmp_path, dict(known.metrics), dict(known.latency_ms)))
    to = tmp_path / "to"
    command = ["dataset", "fetch", "nasbench201", "--to", str(to), "--mirror", upstream.url]
    code, output, errors = run(capsys, *command, "--json")
    assert code == 0, errors
    report = json.loads(output)
    assert "31 of them not verified" in errors and not any(one["verified"] for one in report["files"])
    assert all(
        one["sha256"] == file_sha256(to / "nb201" / ".sources" / one["path"]) for one in report["files"]
    )

    found = nasbench201.load(to)
    assert found.archs == known.archs
    assert found.metad2a.tolist() == [3, 1]
    assert set(found.latency_ms) == set(known.latency_ms)
    for device, values in known.latency_ms.items():
        assert np.array_equal(found.latency_ms[device], values)
    for device, values in known.energy_mj.items():
        assert np.allclose(found.energy_mj[device], values, rtol=1e-6)
    absent = {name for name in known.metrics if name not in found.metrics}
    assert absent == {"iso_rep", *(name for name in known.metrics if name.startswith("ep12_"))}
    for name, values in found.metrics.items():
        assert np.allclose(values, known.metrics[name], rtol=1e-6)
    expected = dict(known.reference)
    volumes, exact = (tables.reference["true_pareto_hypervolume"]["values"] for tables in (found, known))
    for data_set, devices in exact.items():
        assert volumes[data_set].pop("_n_archs") == devices["_n_archs"]
        for device, values in volumes[data_set].items():
            assert values["hypervolume"] == pytest.approx(devices[device]["hypervolume"], abs=2e-6)
    for content in (expected, found.reference):
        assert isinstance(content, dict) and content.pop("true_pareto_hypervolume")
    assert found.reference == expected

    # Again: only a file that was altered meanwhile is asked for, and nothing changes.
    before, asked = file_sha256(to / "nb201" / "latency.npz"), len(upstream.requests)
    (to / "nb201" / ".sources" / DEVICE).write_bytes(b"altered")
    assert run(capsys, *command)[0] == 0 and len(upstream.requests) == asked + 1
    assert file_sha256(to / "nb201" / "latency.npz") == before


def generated(folder: Path) -> dict[str, bytes]:
    """NAS-Bench-201's files with random numbers."""
    generator = np.random.default_rng(0)
    devices = [Path(e["path"]).stem for e in sources()["nasbench201"]["files"] if "/latency/" in e["path"]]
    metrics = {
        f"{kind}_{short}": generator.uniform(5, 95, 15625).round(2)
        for kind in ("test", "zc_naswot", "zc_logsynflow")
        for short in ("cifar10", "cifar100", "in16")
    }
    metrics["params_m_cifar10"] = generator.uniform(0.1, 1.5, 15625).round(2)
    latency = {name: torch.tensor(generator.uniform(1, 9, 15625)) for name in devices}
    return nasbench201_files(folder, metrics, latency)


@pytest.mark.slow
def test_bad_sources_leave_the_tables_as_they_were(
    upstream: Upstream, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = generated(tmp_path)
    publish(upstream, "nasbench201", good)
    to = tmp_path / "to"
    command = ["dataset", "fetch", "nasbench201", "--to", str(to), "--mirror", upstream.url]
    assert run(capsys, *command)[0] == 0
    before = {p.name: p.read_bytes() for p in (to / "nb201").iterdir() if p.suffix in (".npz", ".gz")}
    address = next(path for path in upstream.files if path.endswith(DEVICE))

    upstream.files[address] = good[DEVICE][:1000]
    (to / "nb201" / ".sources" / DEVICE).unlink()
    code, error = refused(capsys, *command)
    assert code == 1 and "fpga.pt" in error and ".sources" in error
    del upstream.files[address]
    (to / "nb201" / ".sources" / DEVICE).unlink()
    code, error = refused(capsys, *command)
    assert code == 1 and "404" in error and address in error
    for name, kept in before.items():
        assert (to / "nb201" / name).read_bytes() == kept


@pytest.mark.slow
def test_damaged_sources_of_nasbench201_are_named(tmp_path: Path) -> None:
    good = generated(tmp_path)
    paths = [path for path in good if "/latency/" not in path or path == DEVICE]
    for path in paths:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(good[path])
    cells, proposals = "data/nasbench201/str_arch2idx.pt", "data/nasbench201/arch_generated_by_metad2a.txt"
    swapped = {a: i for i, a in enumerate([CELLS[1], CELLS[0], *CELLS[2:]])}
    damage = [
        (DEVICE, torch_bytes(torch.ones(7), tmp_path)),
        (cells, torch_bytes(swapped, tmp_path)),
        (proposals, b"1.0\nno cell, 1, 2\n"),
        (proposals, b"1.0\n" + CELLS[0].encode() + b"\n"),
        ("cached_metrics/nats/cifar10/accuracies.csv", b"index,accuracy\n0,1\n"),
        ("cached_metrics/nats/cifar10/params.csv", b"\xff\xfe"),
    ]
    for path, content in damage:
        (tmp_path / path).write_bytes(content)
        with pytest.raises(ConversionError, match=Path(path).name):
            CONVERTERS["nasbench201"](lambda name: tmp_path / name, paths)
        (tmp_path / path).write_bytes(good[path])


def test_known_hashes_are_checked(upstream: Upstream, tmp_path: Path) -> None:
    entries = [e for e in sources()["ofa"]["files"] if e["sha256"]]
    assert entries, "the hashes of HELP's published networks are known"
    publish(upstream, "ofa", {e["path"]: torch_bytes([1.0], tmp_path) for e in sources()["ofa"]["files"]})
    with pytest.raises(DownloadError, match="is not the file it should be"):
        fetch("ofa", tmp_path / "to", upstream.url)


def published_network(upstream_name: str) -> bytes:
    """A published network of HELP as its file holds it: indented by 4, no line end."""
    assert upstream_name.endswith("latency_20.3ms_accuracy_76.0.json")
    kernel = [5, 3, 7, 3, 3, 3, 3, 3, 7, 7, 5, 3, 5, 5, 3, 3, 3, 3, 3, 5]
    expand = [3, 3, 4, 6, 6, 6, 4, 3, 4, 4, 3, 6, 6, 4, 4, 4, 6, 6, 4, 3]
    network = {"wid": None, "ks": kernel, "e": expand, "d": [2, 3, 3, 3, 3], "r": 176}
    return json.dumps(network, indent=4).encode()


def test_hash_of_a_published_network() -> None:
    """The manifest's hash is that of the text which a stored copy of the repository shows."""
    (entry,) = (
        e for e in sources()["ofa"]["files"] if e["path"].endswith("latency_20.3ms_accuracy_76.0.json")
    )
    assert hashlib.sha256(published_network(entry["path"])).hexdigest() == entry["sha256"]


def test_ofa(upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_hashes(monkeypatch)
    generator = np.random.default_rng(1)
    archs = [
        {
            "ks": generator.choice([3, 5, 7], 20).tolist(),
            "e": generator.choice([3, 4, 6], 20).tolist(),
            "d": generator.choice([2, 3, 4], 5).tolist(),
            "r": [int(generator.choice(range(128, 225, 4)))],
        }
        for _ in range(30)
    ]
    sizes = [128, 400, 400, 400, 1]
    layers = torch.nn.Sequential(*(torch.nn.Linear(a, b) for a, b in pairwise(sizes)))
    contents = {}
    for entry in sources()["ofa"]["files"]:
        path = entry["path"]
        if "/latency/" in path:
            contents[path] = torch_bytes(generator.uniform(1, 9, 30).tolist(), tmp_path)
        elif path.endswith(".json"):
            contents[path] = json.dumps({"wid": None, **archs[0], "r": 176}).encode()
    contents["data/ofa/ofa_archs.pt"] = torch_bytes({"arch": archs}, tmp_path)
    contents["ofa/acc_predictor.pth"] = torch_bytes(layers.state_dict(), tmp_path)
    publish(upstream, "ofa", contents)
    report = fetch("ofa", tmp_path / "to", upstream.url)
    assert report.written == ["acc_predictor.npz", "archs_latency.npz", "reference.json"]
    with np.load(report.folder / "archs_latency.npz", allow_pickle=False) as file:
        assert file["ks"].tolist() == [a["ks"] for a in archs] and file["ks"].dtype == np.int8
        assert file["r"].tolist() == [a["r"][0] for a in archs]
        assert sum(name.startswith("lat_") for name in file.files) == 12
    with np.load(report.folder / "acc_predictor.npz", allow_pickle=False) as file:
        assert file["w0"].shape == (400, 128) and np.array_equal(file["b3"], layers[3].bias.detach().numpy())
    reference = json.loads((report.folder / "reference.json").read_text())
    assert len(reference["published_help_nets"]) == 7
    assert {n["latency_ms"] for n in reference["published_help_nets"]} >= {20.3, 147.0}

    archs[3]["ks"][0] = 4
    for path, content in (
        ("data/ofa/ofa_archs.pt", torch_bytes({"arch": archs}, tmp_path)),
        ("ofa/acc_predictor.pth", torch_bytes(list(layers.state_dict().values()), tmp_path)),
    ):
        publish(upstream, "ofa", {**contents, path: content})
        (report.folder / ".sources" / path).unlink()
        with pytest.raises(ConversionError, match=Path(path).name):
            fetch("ofa", tmp_path / "to", upstream.url)
        publish(upstream, "ofa", contents)
        (report.folder / ".sources" / path).unlink()
        fetch("ofa", tmp_path / "to", upstream.url)


SUBTRANSFORMER = """
encoder-embed-dim-subtransformer: 512
decoder-ffn-embed-dim-all-subtransformer: [3072]
# a comment
decoder-arbitrary-ende-attn-all-subtransformer: [1]
"""


def test_hat(upstream: Upstream, tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_hashes(monkeypatch)
    contents = {}
    for entry in sources()["hat"]["files"]:
        path = entry["path"]
        if path.endswith(".yml"):
            contents[path] = SUBTRANSFORMER.encode()
        else:
            table = f"{Path(path).stem.removesuffix('_all')}.csv.gz"
            contents[path] = gzip.decompress((data_dir / "hat" / table).read_bytes())
    publish(upstream, "hat", contents)
    report = fetch("hat", tmp_path / "to", upstream.url)
    for name in report.written:
        if name.endswith(".gz"):
            known = gzip.decompress((data_dir / "hat" / name).read_bytes()).decode()
            assert gzip.decompress((report.folder / name).read_bytes()).decode() == known
    known = json.loads((data_dir / "hat" / "subtransformers.json").read_text())
    found = json.loads((report.folder / "subtransformers.json").read_text())
    for group in ("hat", "help"):
        by_name = {one["name"]: one for one in known[group]}
        assert {one["name"] for one in found[group]} == set(by_name)
        for one in found[group]:
            config = one.pop("config")
            assert config["encoder-embed-dim"] == 512 and config["decoder-arbitrary-ende-attn-all"] == [1]
            assert one.items() <= by_name[one["name"]].items()
    reference = json.loads((report.folder / "reference.json").read_text())
    assert reference == json.loads((data_dir / "hat" / "reference.json").read_text())


def test_foreign_tables_are_not_touched(upstream: Upstream, tmp_path: Path) -> None:
    (tmp_path / "nb201").mkdir()
    (tmp_path / "nb201" / "metrics.npz").write_bytes(b"mine")
    with pytest.raises(UsageError, match=r"metrics\.npz"):
        fetch("nasbench201", tmp_path, upstream.url)
    assert upstream.requests == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["imagenet", "--to", "."],
        ["nasbench201", "--to", "/proc/no"],
        ["nasbench201"],
        ["nasbench201", "--to", ".", "--mirror", "file:///etc"],
    ],
    ids=str,
)
def test_wrong_usage(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    code, _ = refused(capsys, "dataset", "fetch", *arguments)
    assert code == 2


def test_manifest_names_public_addresses() -> None:
    assert MIRROR == "https://raw.githubusercontent.com" and set(sources()) == {"nasbench201", "ofa", "hat"}
    for benchmark in sources().values():
        paths = [entry["path"] for entry in benchmark["files"]]
        assert len(set(paths)) == len(paths)
        for entry in benchmark["files"]:
            assert ".." not in Path(entry["path"]).parts and not entry["path"].startswith("/")
            assert len(entry["commit"]) in (7, 40) and int(entry["commit"], 16)
            assert entry["sha256"] is None or len(entry["sha256"]) == 64
