"""Pairs of sentences: out of a dictionary, or from parallel text files.

The dictionary is "Ding" (Frank Richter, TU Chemnitz), Debian's package trans-de-en: each line has headwords
and examples in German, then in English.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from modnas.tasks.base import SPLITS
from modnas.tasks.errors import DamagedDataError, TaskError, shown
from modnas.tasks.text_lines import read_lines

DICTIONARY = Path("/usr/share/trans/de-en")
_WORDS = range(3, 31)
# Grammar, field and explanation in brackets, and alternatives: /other/.
_REMARK = re.compile(r"\s*(\{[^}]*\}|\[[^]]*\]|\([^)]*\)|<[^>]*>|/[^/]*/)")
_HUNDREDTHS = {"test": range(2), "valid": range(2, 6)}
# How the splits' files begin, the usual name and those of HAT's WMT'14 data.
_STEMS = {"train": ("train",), "valid": ("valid", "dev", "newstest2013"), "test": ("test", "newstest2014")}

_PACKED = {"gz", "bz2", "xz", "zst", "zip"}


class Pair(NamedTuple):
    """A sentence and its translation."""

    source: str
    target: str


def _cleaned(text: str) -> str:
    """The first of several wordings, without remarks."""
    plain = _REMARK.sub("", text.split(";", maxsplit=1)[0]).replace("\u2019", "'")
    return " ".join(plain.split())


def dictionary_pairs(lines: Iterable[str]) -> list[Pair]:
    """Sentences and phrases of 3 to 30 words, each source once (with the translation that comes first)."""
    found: dict[str, Pair] = {}
    for line in lines:
        german, separator, english = line.partition("::")
        sides = [[_cleaned(part) for part in side.split("|")] for side in (german, english)]
        if line.startswith("#") or not separator or len(sides[0]) != len(sides[1]):
            continue
        for source, target in zip(*sides, strict=True):
            lengths = len(source.split()), len(target.split())
            if all(n in _WORDS for n in lengths) and max(lengths) <= 2 * min(lengths):
                found.setdefault(_key(source), Pair(source, target))
    return list(found.values())


def _key(source: str) -> str:
    """What is the same for sentences that differ in case and punctuation only."""
    return " ".join(re.findall(r"\w+", source.lower()))


def divided(pairs: Iterable[Pair], seed: int) -> dict[str, list[Pair]]:
    """Splits by source: no source of one split is in another, in whatever case and punctuation.

    2 % are `test`, whatever the seed; 4 % of all are `valid`, which the seed chooses.
    """
    splits: dict[str, list[Pair]] = {name: [] for name in SPLITS}
    # In an order that says nothing of the text: a dictionary's neighbours have words in common.
    for pair in sorted(pairs, key=lambda pair: hashlib.sha256(pair.source.encode()).digest()):
        key = _key(pair.source)
        if _hundredth(key) in _HUNDREDTHS["test"]:
            splits["test"].append(pair)
        else:
            valid = _hundredth(f"{seed} {key}") in _HUNDREDTHS["valid"]
            splits["valid" if valid else "train"].append(pair)
    return splits


def _hundredth(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % 100


def read_dictionary(path: Path, seed: int) -> dict[str, list[Pair]]:
    """The splits of a dictionary file. Raises TaskError."""
    problems: list[str] = []
    pairs = dictionary_pairs(read_lines(path, problems))
    if problems:
        hint = "install trans-de-en or give --data-dir with parallel text files"
        raise DamagedDataError("translation:", problems, hint)
    if len(pairs) < 100:
        raise TaskError(
            f"translation: {shown(path)} has only {len(pairs)} pairs of sentences; is it the dictionary?"
        )
    return divided(pairs, seed)


def read_folder(folder: Path, notes: list[str] | None = None) -> dict[str, list[Pair]]:
    """The splits of a folder with `train.XX`, `train.YY` and the same of valid and test, a sentence a line.

    XX and YY are languages; XX is the source where the folder's name has XX-YY or XX_YY in it, else the first
    by the alphabet. Names may be longer (train.tok.clean.bpe.32000.en); newstest2013 and newstest2014 do for
    valid and test, as HAT prepares WMT'14. Of several pairs of files for a split the first is read. Byte
    pairs (`.bpe.` in the name) are joined again. Pairs of `train` whose source is in valid or test are left
    out, and pairs with an empty side.

    Args:
        notes: what is left out is added to these, a line each.

    Raises:
        TaskError: files are missing.
        DamagedDataError: files are no text in UTF-8, or those of a pair differ in length.
    """
    try:
        names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise TaskError(f"translation: cannot list {shown(folder)} ({error.strerror})") from error
    languages = languages_of(folder, names)
    problems: list[str] = []
    left_out: list[str] = []
    splits = {}
    read: set[str] = set()
    for split in SPLITS:
        files = _split_files(folder, split, languages, names, problems)
        read |= {path.name for path in files}
        splits[split] = _read_split(split, files, problems, left_out) if files else []
    if problems:
        raise DamagedDataError("translation:", problems, "repair the files; line n of both says the same")
    held = {_key(pair.source) for name in ("valid", "test") for pair in splits[name]}
    kept = [pair for pair in splits["train"] if _key(pair.source) not in held]
    if not kept:
        raise TaskError(
            f"translation: all sources of train in {shown(folder)} are in valid or test as well: take others"
        )
    if count := len(splits["train"]) - len(kept):
        left_out.append(f"{count:,} of train whose source is in valid or test")
    if notes is not None:
        notes += _notes(splits, left_out, [name for name in names if name not in read])
    return {**splits, "train": kept}


def _notes(splits: dict[str, list[Pair]], left_out: list[str], unused: list[str]) -> Iterator[str]:
    if left_out:
        yield f"translation: pairs not used: {', '.join(left_out)}"
    tested = {_key(pair.source) for pair in splits["test"]}
    if both := sum(_key(pair.source) in tested for pair in splits["valid"]):
        yield f"translation: pairs of valid whose source is in test as well: {both:,}"
    if unused:
        yield f"translation: files not used: {len(unused):,} (such as {shown(unused[0])})"


def languages_of(folder: Path, names: list[str]) -> list[str]:
    """Source and target. Raises TaskError unless there are two."""
    found = {Path(name).suffix[1:] for name in names if name.startswith("train") and Path(name).suffix}
    languages = sorted(found - _PACKED)
    if len(languages) != 2:
        packed = "; unpack what is packed" if found & _PACKED else ""
        raise TaskError(
            f"translation: {shown(folder)} needs train.XX and train.YY for two languages, has "
            f"{', '.join(map(shown, sorted(found))) or 'none'}{packed}"
        )
    if re.search(rf"{re.escape(languages[1])}[-_]{re.escape(languages[0])}(?![a-z])", folder.name):
        languages.reverse()
    return languages


def _split_files(
    folder: Path, split: str, languages: list[str], names: list[str], problems: list[str]
) -> list[Path]:
    """The files of a split in both languages, which begin alike. Where there are none, that is a problem."""
    alone: list[str] = []
    for stem in _STEMS[split]:
        for name in names:
            for language, other in (languages, languages[::-1]):
                beginning = name.removesuffix(f".{language}")
                if not name.startswith(stem) or beginning == name:
                    continue
                if f"{beginning}.{other}" in names:
                    return [folder / f"{beginning}.{either}" for either in languages]
                alone.append(f"{beginning}.{other} beside {name}")
    missing = alone or [f"{split}.{language}" for language in languages]
    problems.append(f"{shown(folder)} has no {', no '.join(map(shown, missing))}")
    return []


def _read_split(split: str, files: list[Path], problems: list[str], left_out: list[str]) -> list[Pair]:
    sides = []
    for path in files:
        lines = read_lines(path, problems)
        sides.append([line.replace("@@ ", "") for line in lines] if ".bpe." in path.name else lines)
    lengths = [len(side) for side in sides]
    if lengths[0] != lengths[1]:
        both = " and ".join(f"{shown(path)} {count:,}" for path, count in zip(files, lengths, strict=True))
        problems.append(f"{both} lines, as many are needed")
        return []
    both = " and ".join(path.name for path in files)
    pairs = [Pair(*pair) for pair in zip(*sides, strict=True) if all(side.strip() for side in pair)]
    if count := lengths[0] - len(pairs):
        left_out.append(f"{count:,} of {split} with an empty side")
    if not pairs:
        problems.append(f"{shown(files[0].parent)}: {shown(both)} have no pair of sentences")
    elif all(pair.source == pair.target for pair in pairs):
        problems.append(f"{shown(files[0].parent)}: {shown(both)} are the same")
    return pairs
