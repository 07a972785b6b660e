"""Pairs of sentences: out of a dictionary, or from parallel text files.

The dictionary is "Ding" (Frank Richter, TU Chemnitz), Debian's package trans-de-en: each line has headwords
and examples in German, then in English.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from modnas.tasks.base import SPLITS, TaskError

DICTIONARY = Path("/usr/share/trans/de-en")
_WORDS = range(3, 31)
# Grammar, field and explanation in brackets, and alternatives: /other/.
_REMARK = re.compile(r"\s*(\{[^}]*\}|\[[^]]*\]|\([^)]*\)|<[^>]*>|/[^/]*/)")
_HUNDREDTHS = {"test": range(2), "valid": range(2, 6)}
# How the splits' files begin, the usual name and those of HAT's WMT'14 data.
_STEMS = {"train": ("train",), "valid": ("valid", "dev", "newstest2013"), "test": ("test", "newstest2014")}


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
    try:
        with path.open(encoding="utf-8") as file:
            pairs = dictionary_pairs(file)
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(
            f"translation: cannot read {path} ({error}); install trans-de-en or give --data-dir with "
            "parallel text files"
        ) from error
    if len(pairs) < 100:
        raise TaskError(
            f"translation: {path} has only {len(pairs)} pairs of sentences; is it the dictionary?"
        )
    return divided(pairs, seed)


def read_folder(folder: Path) -> dict[str, list[Pair]]:
    """The splits of a folder with `train.XX`, `train.YY` and the same of valid and test, a sentence a line.

    XX and YY are languages; XX is the source where the folder's name has XX-YY or XX_YY in it, else the first
    by the alphabet. Names may be longer (train.tok.clean.bpe.32000.en); newstest2013 and newstest2014 do for
    valid and test, as HAT prepares WMT'14. Byte pairs (`.bpe.` in the name) are joined again. Pairs of
    `train` whose source is in valid or test are left out.

    Raises:
        TaskError: files are missing, or a pair of files differs in length.
    """
    found = languages(folder)
    if len(found) != 2:
        raise TaskError(
            f"translation: {folder} needs train.XX and train.YY for two languages, has {', '.join(found)}"
        )
    splits = {name: _read_split(folder, name, found) for name in SPLITS}
    held = {_key(pair.source) for name in ("valid", "test") for pair in splits[name]}
    splits["train"] = [pair for pair in splits["train"] if _key(pair.source) not in held]
    return splits


def languages(folder: Path) -> list[str]:
    """The languages of a folder's training files, the source first where there are two."""
    found = sorted({path.suffix[1:] for path in folder.glob("train*.*")})
    if len(found) == 2 and re.search(rf"{found[1]}[-_]{found[0]}(?![a-z])", folder.name):
        found.reverse()
    return found


def _read_split(folder: Path, name: str, languages: list[str]) -> list[Pair]:
    sides = []
    for language in languages:
        paths = [path for stem in _STEMS[name] for path in sorted(folder.glob(f"{stem}*.{language}"))]
        if not paths:
            raise TaskError(f"translation: {folder} has no {name}.{language}")
        try:
            text = paths[0].read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise TaskError(f"translation: cannot read {paths[0]} ({error})") from error
        sides.append((text.replace("@@ ", "") if ".bpe." in paths[0].name else text).splitlines())
    if len(sides[0]) != len(sides[1]):
        raise TaskError(
            f"translation: the {name} files of {folder} have {len(sides[0])} and {len(sides[1])} lines"
        )
    return [Pair(*pair) for pair in zip(*sides, strict=True) if all(side.strip() for side in pair)]
