"""Translation: parallel text, a vocabulary of pieces, batches of alike lengths, BLEU.

The error of a network is 100 - BLEU of its greedy translations.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, MutableSet, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import sacrebleu
import sentencepiece
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from modnas.core.architecture import read_choices
from modnas.core.task import Progress
from modnas.spaces import Supernetwork
from modnas.spaces.transformer.choices import OPTIONS
from modnas.spaces.transformer.decoding import BEGIN, END, Decoder, NetworkDecoder, beam_search, greedy
from modnas.spaces.transformer.network import PAD, TransformerNetwork
from modnas.spaces.transformer.supernetwork import TransformerSupernetwork
from modnas.tasks.base import SPLITS, seeded_generator, split_names
from modnas.tasks.errors import TaskError, shown
from modnas.tasks.parallel_text import DICTIONARY, Pair, read_dictionary, read_folder

# Tokens of the sentence that is timed, as HAT's.
TIMED_LENGTH = 30
# Longest sentence in pieces; longer ones are left out of training, and cut where they are translated.
MAX_PIECES = 60
# Pieces of the vocabulary: one for so many pairs, between these bounds.
_PAIRS_A_PIECE, _PIECES = 40, (500, 32000)
# Validation pairs on which architectures are compared, and those translated for a validation error.
_COMPARED, _TRANSLATED = 256, 128
_BATCH = 64


class Sentences(NamedTuple):
    """Pairs of one split as text and as pieces, without BEGIN and END."""

    pairs: list[Pair]
    sources: list[list[int]]
    targets: list[list[int]]


@dataclass(frozen=True)
class TranslationTask:
    """A `modnas.core.task.AnyTask`; see there.

    Args:
        name: the name in the registry.
        vocabulary: from text to pieces and back, for both languages.
        label_smoothing: of the loss that is trained, unless one is asked for.
        notes: what of the text is used and what is not, for a person, a line each.
    """

    name: str
    vocabulary: sentencepiece.SentencePieceProcessor
    train: Sentences
    valid: Sentences
    test: Sentences
    label_smoothing: float = 0.1
    device: str | torch.device = "cpu"
    notes: tuple[str, ...] = ()

    @property
    def classes(self) -> int:
        """Size of the vocabulary."""
        return int(self.vocabulary.get_piece_size())

    @property
    def files(self) -> dict[str, bytes]:
        """The vocabulary, for SentencePiece."""
        return {"vocabulary.model": self.vocabulary.serialized_model_proto()}

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Source and target of the sentence that is timed; batches have their own lengths."""
        return (2, TIMED_LENGTH)

    @property
    def chance_error(self) -> float:
        """A BLEU of 0."""
        return 100.0

    @cached_property
    def validation(self) -> list[tuple[Tensor, Tensor]]:
        """The first pairs of `valid`."""
        rows = [*range(min(_COMPARED, len(self.valid.pairs)))]
        rows.sort(key=lambda n: _length(self.valid, n))
        return [self._batch(self.valid, rows[n : n + _BATCH]) for n in range(0, len(rows), _BATCH)]

    def split(self, name: str) -> Sentences:
        """The split called train, valid or test. Raises ValueError."""
        (known,) = split_names(name)
        found: Sentences = getattr(self, known)
        return found

    def count(self, splits: tuple[str, ...]) -> int:
        """Number of pairs that `batches` gives of these splits."""
        return sum(len(self._short(self.split(name))) for name in splits)

    def check(self, on_progress: Progress | None = None, known: MutableSet[bytes] | None = None) -> None:
        """Nothing is left to look at: all text was read when the task was made."""

    @staticmethod
    def _short(data: Sentences) -> list[int]:
        return [n for n in range(len(data.pairs)) if _length(data, n) < MAX_PIECES]

    def batches(
        self,
        split: str | tuple[str, ...],
        batch_size: int,
        *,
        epoch: int = 0,
        seed: int = 0,
        augment: bool = False,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of at most `batch_size` pairs of alike lengths, in an order fixed by (seed, epoch, split).

        Inputs (n, 2, length): source with END, and BEGIN with the target; targets (n, length): target with
        END; int64, padded. There is nothing to augment.
        """
        names = split_names(split)
        generator = seeded_generator(seed, epoch, *(SPLITS.index(name) for name in names))
        rows = [(data, n) for data in map(self.split, names) for n in self._short(data)]
        # Shuffled first: which of the equally long meet in a batch differs from epoch to epoch.
        rows = [rows[n] for n in torch.randperm(len(rows), generator=generator).tolist()]
        rows.sort(key=lambda row: _length(*row))
        count = math.ceil(len(rows) / batch_size)
        bounds = [len(rows) * n // count for n in range(count + 1)]
        for n in torch.randperm(count, generator=generator).tolist():
            chosen = rows[bounds[n] : bounds[n + 1]]
            yield self._padded([d.sources[i] for d, i in chosen], [d.targets[i] for d, i in chosen])

    def _batch(self, data: Sentences, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        return self._padded([data.sources[n] for n in rows], [data.targets[n] for n in rows])

    def _padded(self, sources: list[list[int]], targets: list[list[int]]) -> tuple[Tensor, Tensor]:
        length = 1 + max(len(sentence) for sentence in [*sources, *targets])
        inputs = torch.full((len(sources), 2, length), PAD)
        wanted = torch.full((len(sources), length), PAD)
        for n, (source, target) in enumerate(zip(sources, targets, strict=True)):
            inputs[n, 0, : len(source) + 1] = torch.tensor([*source, END])
            inputs[n, 1, : len(target) + 1] = torch.tensor([BEGIN, *target])
            wanted[n, : len(target) + 1] = torch.tensor([*target, END])
        return inputs.to(self.device), wanted.to(self.device)

    def loss(self, logits: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """Mean cross-entropy a token, padding left out, in nats; logits (n, length, vocabulary)."""
        return cross_entropy(
            logits.flatten(0, 1), targets.flatten(), ignore_index=PAD, label_smoothing=label_smoothing
        )

    def supernetwork_loss(self, supernetwork: Supernetwork) -> TranslationLoss:
        """Cross-entropy of the supernetwork's slice; 100 - BLEU of its validation translations."""
        return TranslationLoss(supernetwork, self)

    def test_error(self, network: nn.Module) -> float:
        """100 - BLEU (`bleu`) of greedy translations of the test split."""
        return 100.0 - bleu(self.translations(network, self.test), self.test.pairs)

    def translations(
        self, network: nn.Module | Decoder, data: Sentences, *, limit: int | None = None, beam: int = 0
    ) -> list[str]:
        """Translations of a split's first `limit` sentences: greedy, or by a beam of this width."""
        if isinstance(network, TransformerNetwork):
            network = NetworkDecoder(network.eval())
        if isinstance(network, nn.Module):
            raise TypeError("only networks of the transformer space translate")
        count = len(data.pairs) if limit is None else min(limit, len(data.pairs))
        order = sorted(range(count), key=lambda n: len(data.sources[n]))
        found: dict[int, list[int]] = {}
        for start in range(0, count, 1 if beam else _BATCH):
            rows = order[start : start + (1 if beam else _BATCH)]
            sources = [data.sources[n][: MAX_PIECES - 1] for n in rows]
            inputs, _ = self._padded(sources, [[] for _ in rows])
            longest = min(MAX_PIECES, 2 * inputs.shape[2] + 5)
            if beam:
                found[rows[0]] = beam_search(network, inputs[0, 0], longest, beam=beam)
            else:
                found.update(zip(rows, greedy(network, inputs[:, 0], longest), strict=True))
        return [self.vocabulary.decode(found[n]) for n in range(count)]

    def judged_on_valid(self) -> TranslationTask:
        """The same task with `valid` in place of `test`."""
        return replace(self, test=self.valid)

    def resized(self, side: int) -> TranslationTask:
        """There are no images: raises TaskError."""
        raise TaskError(f"{self.name}: sentences cannot be scaled to {side} pixels; take out task_side")

    def scored_on(self, count: int) -> TranslationTask:
        """Architectures are compared on few sentences already: raises TaskError."""
        raise TaskError(f"{self.name}: cannot be scored on {count} items; take out score_images")

    def to(self, device: str | torch.device) -> TranslationTask:
        """The same task with its batches on `device`."""
        return replace(self, device=device)


def _length(data: Sentences, n: int) -> int:
    return max(len(data.sources[n]), len(data.targets[n]))


def bleu(translations: Sequence[str], pairs: Sequence[Pair]) -> float:
    """SacreBLEU of a corpus, 0 to 100 (Post, 2018: tokenised as by mteval-v13a, case counts)."""
    wanted = [pair.target for pair in pairs[: len(translations)]]
    return float(sacrebleu.corpus_bleu(list(translations), [wanted]).score)


class TranslationLoss:
    """The task's part in a search; see `modnas.core.task.TaskLoss`."""

    def __init__(self, supernetwork: Supernetwork, task: TranslationTask) -> None:
        if not isinstance(supernetwork, TransformerSupernetwork):
            raise TypeError("translation is searched in the transformer space")
        self.supernetwork, self.task = supernetwork, task

    def loss(self, sample: Tensor, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Label-smoothed cross-entropy of one architecture, (width,), on a batch."""
        inputs, targets = batch
        return self.task.loss(self.supernetwork(inputs, sample), targets, self.task.label_smoothing)

    def error(self, sample: Tensor) -> float:
        """100 - BLEU of the architecture's greedy translations of fixed validation sentences."""
        network = self.supernetwork.standalone(read_choices(sample, OPTIONS)).to(sample.device)
        found = self.task.translations(network, self.task.valid, limit=_TRANSLATED)
        return 100.0 - bleu(found, self.task.valid.pairs)


def fit_vocabulary(pairs: Sequence[Pair], size: int) -> sentencepiece.SentencePieceProcessor:
    """At most `size` pieces of both languages; PAD, BEGIN, END as the transformer has them."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([text for pair in pairs for text in pair]),
        model_writer=model,
        vocab_size=size,
        model_type="unigram",
        hard_vocab_limit=False,  # little text has fewer pieces
        character_coverage=1.0,
        pad_id=PAD,
        bos_id=BEGIN,
        eos_id=END,
        unk_id=3,
        num_threads=1,
        minloglevel=2,
    )
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def translation(data_dir: Path | None = None, seed: int = 0, limit: int | None = None) -> TranslationTask:
    """German to English from Debian's dictionary, or whatever parallel text `data_dir` holds.

    Args:
        data_dir: a folder (see `read_folder`) or the dictionary file; None: where Debian has it.
        seed: divides the dictionary's pairs into train and valid.
        limit: cap on the training pairs; valid is cut in proportion, test is not.

    Raises:
        TaskError: files are missing or damaged.
    """
    place = data_dir or DICTIONARY
    notes: list[str] = []
    splits = read_folder(place, notes) if place.is_dir() else read_dictionary(place, seed)
    if limit is not None and limit < len(splits["train"]):
        notes.append(_limited(splits, limit))
    low, high = _PIECES
    size = min(max(len(splits["train"]) // _PAIRS_A_PIECE, low), high)
    try:
        vocabulary = fit_vocabulary(splits["train"], size)
    except RuntimeError as error:
        raise TaskError(f"translation: {place} has too little text for {size} pieces: {error}") from error

    def pieces(pairs: list[Pair]) -> Sentences:
        return Sentences(pairs, *(vocabulary.encode([pair[side] for pair in pairs]) for side in (0, 1)))

    train, valid, test = (pieces(splits[name]) for name in SPLITS)
    counts = ", ".join(f"{len(splits[name]):,} {name}" for name in SPLITS)
    notes.insert(0, f"translation: {counts} pairs of {shown(place)}")
    task = TranslationTask("translation", vocabulary, train, valid, test)
    return replace(task, notes=(*notes, *_notes_of_length(task)))


def _limited(splits: dict[str, list[Pair]], limit: int) -> str:
    """Cut train to `limit` and valid in proportion; how many are left out, in words."""
    share, beyond = limit / len(splits["train"]), []
    for name in ("train", "valid"):
        count = max(1, round(share * len(splits[name])))
        beyond.append(f"{len(splits[name]) - count:,} of {name}")
        splits[name] = splits[name][:count]
    return f"translation: pairs beyond the limit not used: {', '.join(beyond)}"


def _notes_of_length(task: TranslationTask) -> Iterator[str]:
    """How many pairs are too long, a line for what is done with them."""
    longest = f"{MAX_PIECES - 1} pieces"
    longer = {name: len(task.split(name).pairs) - task.count((name,)) for name in ("train", "valid")}
    if any(longer.values()):
        counts = ", ".join(f"{count:,} of {name}" for name, count in longer.items())
        yield f"translation: pairs of more than {longest} not used: {counts}"
    judged = [*task.valid.sources, *task.test.sources]
    if cut := sum(len(source) >= MAX_PIECES for source in judged):
        yield f"translation: sources of valid and test cut to {longest} to be translated: {cut:,}"
