"""A search for translation from the command line, on an agent that answers without measuring."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import sentencepiece
from harness_helpers import FakeAgent

from harness.cli import main
from harness.presets import Preset, Recipe
from harness.runs.run import Run
from harness.runs.search import open_search
from harness.store import Store
from modnas.spaces.transformer.decoding import END
from modnas.spaces.transformer.presets import PRESETS
from modnas.spaces.transformer.space import HYPERNETWORK_TABLES
from modnas.spaces.transformer.supernetwork import TransformerSupernetwork

WORDS = {"Hund": "dog", "Katze": "cat", "Baum": "tree", "Haus": "house", "Apfel": "apple", "Berg": "mountain"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path, rng = tmp_path / "de-en", random.Random(0)
    path.mkdir()
    for split, count in (("train", 200), ("valid", 20), ("test", 20)):
        chosen = [rng.sample(list(WORDS), 3) for _ in range(count)]
        (path / f"{split}.de").write_text("".join("{} und {} mit {}\n".format(*c) for c in chosen))
        english = ["{} and {} with {}\n".format(*(WORDS[word] for word in c)) for c in chosen]
        (path / f"{split}.en").write_text("".join(english))
    return path


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> str:
    preset = Preset(
        space={"embed": 20, "ffn": 24, "heads": 2, "inner": 8, "norm_first": 1},
        profile_archs=14,
        batch_size=40,
        search={
            "epochs": 2,
            "steps_per_epoch": 1,
            "smoothing": 10,
            "tables": [list(table) for table in HYPERNETWORK_TABLES],
            "warmup_epochs": 1,
            "weights_optimizer": "adam",
            "weights_learning_rate": 0.005,
        },
        front_size=3,
        recipe=Recipe(epochs=0, inherit=True),
    )
    monkeypatch.setitem(PRESETS, "tiny", preset)
    return "tiny"


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    capsys.readouterr()
    code = main([*arguments, "--json"])
    output, errors = capsys.readouterr()
    assert code == 0, errors
    return json.loads(output)


@pytest.mark.slow
@pytest.mark.trains
def test_search_and_verify_with_inherited_weights(
    fake_agents: list[FakeAgent], tiny: str, folder: Path, capsys: pytest.CaptureFixture[str]
):
    found = document(
        capsys,
        *("search", "--space", "transformer", "--task", "translation", "--data-dir", str(folder)),
        *("--devices", "cpu", "--preset", tiny, "--run", "mine"),
    )
    entries = found["verification"]["cpu"]["architectures"]
    assert entries and fake_agents
    run = Run.open("mine")
    with Store() as store:
        state = open_search(run, store)
    assert isinstance(state.supernetwork, TransformerSupernetwork)
    for entry in entries:
        assert entry["measured"]["latency_ms"] > 0
        network = state.supernetwork.extract(state.space.parse(entry["arch"]))
        assert entry["measured"]["error"] == pytest.approx(state.task.test_error(network))
        assert 0 <= entry["predicted"]["error"] <= 100
    again = document(capsys, "verify", "--run", "mine", "--device", "cpu")
    assert again["trained_now"] == 0, "the same weights are not evaluated again"
    written = document(
        capsys, "front", "--run", "mine", "--device", "cpu", "--networks", str(folder / "found")
    )["architectures"]
    translator = onnxruntime.InferenceSession(folder / "found" / "1.onnx", providers=["CPUExecutionProvider"])
    vocabulary = sentencepiece.SentencePieceProcessor(model_file=str(folder / "found" / "vocabulary.model"))
    network = state.supernetwork.extract(state.space.parse(written[0]["arch"]))
    for pair, expected in zip(
        state.task.test.pairs, state.task.translations(network, state.task.test), strict=True
    ):
        source = np.array([[*vocabulary.encode(pair.source), END]])
        limit = min(60, 2 * source.shape[1] + 5)
        tokens = translator.run(None, {"source": source, "limit": np.array(limit)})[0][:, 0].tolist()
        ended = tokens.index(END) if END in tokens else len(tokens)
        assert vocabulary.decode(tokens[:ended]) == expected
    state.supernetwork.body.embedding.weight.data.mul_(2)
    with Store() as store:
        rows = store.counts()["evaluations"]
        from harness.runs.evaluation import evaluate_architectures

        evaluate_architectures(state, [state.space.parse(entries[0]["arch"])], store)
        assert store.counts()["evaluations"] == rows + 1, "other weights are another evaluation"


def test_profile_and_failures_are_rows(
    fake_agents: list[FakeAgent], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    small = ("embed=20", "ffn=24", "heads=2", "inner=8", "classes=40")
    settings = [part for setting in small for part in ("--set", setting)]
    from harness.export import ExportError, artifact

    build = artifact.build

    def failing(source: Any, architecture: Any) -> Any:
        if "+dec20-" in architecture.string:
            raise ExportError("no decoder of this width")
        return build(source, architecture)

    monkeypatch.setattr(artifact, "build", failing)
    command = ("profile", "--device", "cpu", "--space", "transformer", "--archs", "6", *settings, "--json")
    code = main(command)
    rows = json.loads(capsys.readouterr().out)["measurements"]
    assert code == 1 and len(rows) == 6
    for row in rows:
        assert row["status"] == ("error" if "+dec20-" in row["arch"] else "ok")
    assert {row["status"] for row in rows} == {"ok", "error"}
