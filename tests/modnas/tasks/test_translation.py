"""Parallel text, its splits, batches and scores."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch.nn.functional import log_softmax

from modnas.accuracy.training import train
from modnas.spaces.transformer import Transformer
from modnas.spaces.transformer.decoding import BEGIN, END
from modnas.spaces.transformer.network import PAD
from modnas.tasks import TaskError, get_task
from modnas.tasks.parallel_text import DICTIONARY, Pair, dictionary_pairs, divided, read_folder
from modnas.tasks.translation import TranslationTask, bleu

NOUNS = ("Hund", "Katze", "Baum", "Haus", "Apfel", "Fluss", "Berg", "Vogel")
ENGLISH = ("dog", "cat", "tree", "house", "apple", "river", "mountain", "bird")


def sentence(rng: random.Random) -> tuple[str, str]:
    a, b = rng.sample(range(8), 2)
    rest = rng.choice((("sieht", "sees"), ("mag nicht", "does not like"), ("kennt", "knows")))
    return f"Das {NOUNS[a]} {rest[0]} das {NOUNS[b]}.", f"The {ENGLISH[a]} {rest[1]} the {ENGLISH[b]}."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("de-en")
    rng = random.Random(0)
    for split, count in (("train", 600), ("valid", 40), ("test", 40)):
        pairs = [sentence(rng) for _ in range(count)]
        for side, language in enumerate(("de", "en")):
            text = "".join(f"{pair[side]}\n" for pair in pairs)
            (path / f"{split}.{language}").write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def task(folder: Path) -> TranslationTask:
    found = get_task("translation", folder)
    assert isinstance(found, TranslationTask)
    return found


def test_a_dictionary_line_has_sentences_in_its_examples():
    lines = [
        "# Version :: devel 2023-01-30",
        "blank; pur {adj} (rein) | Es war purer Zufall. | aus reiner Bosheit [ugs.] :: sheer; pure | "
        "It was sheer coincidence.; It was chance. | out of pure spite [coll.]",
        "Aal {m} | der Aal ist lang :: eel",  # sides of different lengths
        "Es war purer Zufall. :: It was pure luck.",  # a source that is there already
    ]
    assert dictionary_pairs(lines) == [
        Pair("Es war purer Zufall.", "It was sheer coincidence."),
        Pair("aus reiner Bosheit", "out of pure spite"),
    ]


def test_splits_share_no_source_and_the_test_split_is_fixed():
    pairs = [Pair(f"Satz {n} ist da{end}", str(n)) for n in range(2000) for end in ("", ".")]
    first, second = divided(pairs, 0), divided(pairs, 1)
    assert first["test"] == second["test"] and first["valid"] != second["valid"]
    for splits in (first, second):
        sources = [{pair.source.rstrip(".") for pair in splits[name]} for name in ("train", "valid", "test")]
        assert sum(map(len, sources)) == len(set.union(*sources)) == 2000
        assert sum(map(len, splits.values())) == 4000


def test_the_folders_training_pairs_are_not_those_tested(folder: Path):
    splits = read_folder(folder)
    held = {pair.source for name in ("valid", "test") for pair in splits[name]}
    assert splits["train"] and not held & {pair.source for pair in splits["train"]}


def test_byte_pairs_are_joined_and_the_folders_name_tells_the_direction(tmp_path: Path):
    folder = tmp_path / "wmt16_en_de_bpe32k"
    folder.mkdir()
    for name in ("train.tok.clean.bpe.32000", "newstest2013.tok.bpe.32000", "newstest2014.tok.bpe.32000"):
        (folder / f"{name}.en").write_text(f"The coun@@ try {name}\n")
        (folder / f"{name}.de").write_text("Das Land\n")
    assert read_folder(folder)["test"] == [Pair("The country newstest2014.tok.bpe.32000", "Das Land")]


@pytest.mark.parametrize("missing", ["train.de", "test.en"])
def test_missing_files(folder: Path, tmp_path: Path, missing: str):
    for file in folder.iterdir():
        if file.name != missing:
            (tmp_path / file.name).write_text(file.read_text())
    with pytest.raises(TaskError, match="train.XX" if missing == "train.de" else missing):
        get_task("translation", tmp_path)


def test_files_of_different_lengths(folder: Path, tmp_path: Path):
    for file in folder.iterdir():
        (tmp_path / file.name).write_text(file.read_text() + ("more\n" if file.name == "train.de" else ""))
    with pytest.raises(TaskError, match="lines"):
        get_task("translation", tmp_path)


def test_batches_hold_every_pair_once_among_its_like(task: TranslationTask):
    seen: Counter[tuple[int, ...]] = Counter()
    for inputs, targets in task.batches("train", 32, epoch=3):
        assert len(inputs) <= 32 and inputs.shape == (len(targets), 2, targets.shape[1])
        assert bool((inputs[:, 1, 0] == BEGIN).all())
        # What the decoder is given is what it should say, one later.
        said = torch.where(targets == END, PAD, targets)[:, :-1]
        assert torch.equal(inputs[:, 1, 1:], said)
        seen.update(tuple(row[row != PAD].tolist()) for row in targets)
        assert float((targets != PAD).float().mean()) > 0.6
    wanted = Counter((*target, END) for target in task.train.targets)
    assert seen == wanted and task.count(("train",)) == sum(wanted.values())


def test_batches_are_fixed_by_seed_and_epoch(task: TranslationTask):
    def first(epoch: int, seed: int) -> torch.Tensor:
        return next(task.batches("train", 16, epoch=epoch, seed=seed))[0]

    assert torch.equal(first(1, 2), first(1, 2))
    assert not torch.equal(first(1, 2), first(2, 2)) and not torch.equal(first(1, 2), first(1, 3))


def test_the_loss_is_label_smoothed_cross_entropy_without_padding(task: TranslationTask):
    logits = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([[3, 4, PAD], [2, PAD, PAD]])
    scores = log_softmax(logits, -1)
    # Szegedy et al., 2016: a share of the weight is spread evenly over all labels.
    each = [
        -0.9 * scores[i, j, targets[i, j]] - 0.1 * scores[i, j].mean() for i, j in ((0, 0), (0, 1), (1, 0))
    ]
    assert task.loss(logits, targets, 0.1) == pytest.approx(float(sum(each)) / 3, rel=1e-5)


def test_bleu_of_known_texts():
    pairs = [Pair("x", "the cat sat on the mat ."), Pair("x", "a dog .")]
    assert bleu([pair.target for pair in pairs], pairs) == pytest.approx(100)
    # Papineni et al., 2002: precisions 6/7, 4/6, 3/5, 2/4, as long as the reference.
    value = 100 * (6 / 7 * 4 / 6 * 3 / 5 * 2 / 4) ** 0.25
    assert bleu(["the cat sat on the rug ."], pairs[:1]) == pytest.approx(value)


@pytest.mark.slow
@pytest.mark.trains
def test_a_network_learns_to_translate_beyond_copying(task: TranslationTask):
    space = Transformer(
        classes=task.classes,
        input_shape=task.input_shape,
        embed=40,
        ffn=96,
        heads=4,
        inner=32,
        norm_first=1,
        drop_percent=0,
    )
    torch.manual_seed(0)
    network = space.network(space.references[8])
    result = train(
        network, task, epochs=12, batch_size=32, optimizer="adam", learning_rate=4e-3, label_smoothing=0.1
    )
    assert result.losses[-1] < 0.6 * result.losses[0]
    found = 100 - result.error
    copied = bleu([pair.source for pair in task.test.pairs], task.test.pairs)
    assert found > copied + 10
    assert found == pytest.approx(bleu(task.translations(network, task.test), task.test.pairs))
    wide = task.translations(network, task.test, limit=10, beam=3)
    known = {word for pair in task.train.pairs for word in pair.target.split()}
    said = [word for text in wide for word in text.split()]
    assert len(wide) == 10 and sum(word in known for word in said) > 0.8 * len(said) > 0


@pytest.mark.trains
def test_the_supernetworks_error_is_that_of_its_slice(task: TranslationTask):
    space = Transformer(
        classes=task.classes, input_shape=task.input_shape, embed=20, ffn=12, heads=2, inner=8, norm_first=1
    )
    supernetwork = space.supernetwork()
    loss = task.supernetwork_loss(supernetwork)
    (architecture,) = space.sample(1, torch.Generator().manual_seed(0))
    found = task.translations(supernetwork.extract(architecture), task.valid)
    expected = 100 - bleu(found, task.valid.pairs)
    assert loss.error(space.encode([architecture])[0]) == pytest.approx(expected)


def test_sentences_have_no_side(task: TranslationTask):
    with pytest.raises(TaskError, match="pixels"):
        task.resized(8)


@pytest.mark.slow
def test_debians_dictionary():
    if not DICTIONARY.is_file():
        pytest.skip(f"no {DICTIONARY}: install the package trans-de-en")
    with DICTIONARY.open(encoding="utf-8") as file:
        pairs = dictionary_pairs(file)
    assert len(pairs) > 20_000
    splits = divided(pairs, 0)
    assert len(splits["test"]) > 500
    copied = bleu([pair.source for pair in splits["test"]], splits["test"])
    assert copied < 2
