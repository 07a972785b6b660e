"""A folder of images in every state: what is read, what is counted, and what is refused."""

from __future__ import annotations

import io
import os
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modnas.tasks import DamagedDataError, TaskError, get_task
from modnas.tasks.image_decoding import decode, flaw

CLASSES = ("cat", "dog")


def picture(kind: str = "PNG", seed: int = 0, size: tuple[int, int] = (24, 20), **options) -> bytes:
    """An image file with something to see in it."""
    rows, columns = np.mgrid[0 : size[1], 0 : size[0]]
    noise = np.random.default_rng(seed).integers(0, 40, (*rows.shape, 3))
    pixels = np.stack([rows * 3, columns * 3, rows + columns], -1) + noise
    file = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, kind, **options)
    return file.getvalue()


def put(path: Path, data: bytes | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture(seed=len(str(path))) if data is None else data)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five images a class to train with, two to test."""
    place = tmp_path / "images"
    for name in CLASSES:
        for n in range(5):
            put(place / "train" / name / f"{n}.png")
        for n in range(2):
            put(place / "val" / name / f"{n}.png")
    return place


def bad_files(place: Path) -> dict[str, str]:
    """What `check` complains of: reasons by file, as the folder's own names them."""
    try:
        get_task("image-folder", place).check()
    except DamagedDataError as error:
        assert "\n" not in str(error)
        found = [re.fullmatch(r"(.*?): (.*)", line) for line in error.problems]
        return {match[1].removeprefix(f"{place}/"): match[2] for match in found}
    return {}


@dataclass
class State:
    """What is done to the folder, and what is to come of it.

    Args:
        bad: files that `check` names, with a part of the reason.
        counted: parts of the line of what is not used.
        images: how many are to train with and to test.
    """

    make: Callable[[Path], object]
    bad: dict[str, str] | None = None
    counted: tuple[str, ...] = ()
    images: tuple[int, int] = (10, 4)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def socket_at(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's name is at most 108 bytes
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(path.name)
    finally:
        os.chdir(here)


def move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    source.rename(target)


def huge(path: Path) -> None:
    """A PNG that says it has 40,000 x 40,000 pixels."""
    data = bytearray(picture())
    data[16:24] = (40_000).to_bytes(4, "big") * 2
    data[29:33] = __import__("zlib").crc32(data[12:29]).to_bytes(4, "big")
    put(path, bytes(data))


def many_bad(place: Path) -> None:
    for n in range(4):
        put(place / "train" / "cat" / f"{n}.png", b"")
    put(place / "val" / "dog" / "0.png", picture()[:200])


STATES = {
    "whole": State(lambda f: None),
    "in sub-folders": State(
        lambda f: [put(f / "train/cat/more/a.png"), put(f / "train/cat/more/still more/b.PNG")],
        images=(12, 4),
    ),
    "all in sub-folders": State(
        lambda f: (f / "val/cat").rename(f / "x") and move(f / "x", f / "val/cat/2020")
    ),
    "a folder called as an image": State(lambda f: put(f / "train/cat/folder.jpg/a.png"), images=(11, 4)),
    "empty sub-folder": State(
        lambda f: (f / "train/cat/none").mkdir(), counted=("1 empty folders (such as train/cat/none)",)
    ),
    "a linked folder": State(
        lambda f: [put(f.parent / "other/a.png"), (f / "train/cat/linked").symlink_to(f.parent / "other")],
        images=(11, 4),
    ),
    "a linked image": State(
        lambda f: (f / "train/cat/linked.png").symlink_to(f / "train/cat/0.png"), images=(11, 4)
    ),
    "a link back up": State(
        lambda f: (f / "train/cat/back").symlink_to(f / "train/cat"),
        counted=("1 links to a folder above (such as train/cat/back)",),
    ),
    "a link to the split": State(
        lambda f: (f / "train/cat/back").symlink_to(f / "train"),
        counted=("1 links to a folder above (such as train/cat/back)",),
    ),
    "a link to itself": State(
        lambda f: (f / "train/cat/loop.png").symlink_to("loop.png"),
        {"train/cat/loop.png": "Too many levels of symbolic links"},
        images=(11, 4),
    ),
    "a broken link": State(
        lambda f: (f / "val/cat/gone.png").symlink_to("nothing.png"),
        {"val/cat/gone.png": "No such file"},
        images=(10, 5),
    ),
    "a broken link to a folder": State(
        lambda f: (f / "train/cat/more").symlink_to("nothing"),
        counted=("1 broken links (such as train/cat/more)",),
    ),
    "a pipe": State(lambda f: pipe(f / "train/cat/p.png"), {"train/cat/p.png": "no file"}, images=(11, 4)),
    "a pipe of no image": State(lambda f: pipe(f / "train/cat/p"), counted=("1 without a suffix",)),
    "a socket": State(lambda f: socket_at(f / "val/cat/s.jpg"), {"val/cat/s.jpg": "no file"}, images=(10, 5)),
    "empty file": State(lambda f: put(f / "val/dog/0.png", b""), {"val/dog/0.png": "no image"}),
    "text called an image": State(
        lambda f: put(f / "train/dog/0.png", b"<html>404</html>"), {"train/dog/0.png": "no image"}
    ),
    "several": State(
        many_bad, {**{f"train/cat/{n}.png": "no image" for n in range(4)}, "val/dog/0.png": "truncated"}
    ),
    "a bomb": State(lambda f: huge(f / "train/dog/0.png"), {"train/dog/0.png": "1600000000 pixels"}),
    "32 bits": State(
        lambda f: Image.fromarray(np.zeros((9, 9), np.float32)).save(f / "train/dog/b.tif"),
        {"train/dog/b.tif": "32 bits a pixel"},
        images=(11, 4),
    ),
    "other suffixes": State(
        lambda f: [
            *(put(f / "train/cat" / f"{n}.heic", b"x") for n in range(3)),
            *(put(f / "val/dog" / f"{n}.JPEG_", b"x") for n in range(2)),
            put(f / "train/dog/more/notes.TXT", b"x"),
            put(f / "train/dog/README", b"x"),
        ],
        counted=(
            "3 .heic (such as train/cat/0.heic)",
            "2 .jpeg_ (such as val/dog/0.JPEG_)",
            "1 .txt (such as train/dog/more/notes.TXT)",
            "1 without a suffix (such as train/dog/README)",
        ),
    ),
    "hidden": State(
        lambda f: [
            put(f / "train/cat/._0.png", b"x"),
            put(f / "train/.ipynb_checkpoints/a.png"),
            put(f / ".git/config", b"x"),
            put(f / "train/.DS_Store", b"x"),
        ],
        counted=("4 hidden (such as",),
    ),
    "of systems": State(
        lambda f: [
            put(f / "train/cat/Thumbs.db", b"x"),
            put(f / "train/cat/@eaDir/0.png/THUMB.png"),
            put(f / "train/__MACOSX/._0.png", b"x"),
            put(f / "desktop.ini", b"x"),
        ],
        counted=("4 of the system (such as",),
    ),
    "beside the classes": State(
        lambda f: [put(f / "train/a.png"), put(f / "val/b.png"), put(f / "c.png"), put(f / "list.csv", b"x")],
        counted=("3 images outside of class folders (such as c.png)", "1 .csv (such as list.csv)"),
    ),
    "beside the splits": State(
        lambda f: [put(f / "unlabelled/a.png"), put(f / "vaild/cat/a.png")],
        counted=("2 other folders (such as unlabelled)",),
    ),
    "test beside val": State(
        lambda f: [put(f / "test" / f"{n}.png") for n in range(3)],
        counted=("3 images in test (such as test)",),
    ),
    "validation beside val": State(
        lambda f: [put(f / "validation" / name / "a.png") for name in CLASSES],
        counted=("2 images in validation",),
    ),
    "validation": State(lambda f: (f / "val").rename(f / "validation")),
    "valid": State(lambda f: (f / "val").rename(f / "valid")),
    "capitals": State(lambda f: [(f / "val").rename(f / "VAL"), (f / "train").rename(f / "Train")]),
    "training": State(lambda f: (f / "train").rename(f / "training")),
    "line end in a name": State(
        lambda f: put(f / "train/cat/a\nb.png", b""), {"train/cat/a\\nb.png": "no image"}, images=(11, 4)
    ),
    "bytes in a name": State(
        lambda f: put(f / "train/cat" / os.fsdecode(b"\xff.png"), b""),
        {"train/cat/\\xff.png": "no image"},
        images=(11, 4),
    ),
    "bytes in a name that can be read": State(
        lambda f: put(f / "train/cat" / os.fsdecode(b"\xff.png")), images=(11, 4)
    ),
    "many kinds": State(
        lambda f: [put(f / "train/cat" / f"a.{n}", b"x") for n in range(100)],
        counted=("90 of 90 other kinds",),
    ),
}


@pytest.mark.parametrize("name", STATES)
def test_all_is_read_counted_or_named(folder: Path, name: str) -> None:
    state = STATES[name]
    state.make(folder)
    task = get_task("image-folder", folder)
    assert (task.count(("train", "valid")), task.count(("test",))) == state.images
    used, *others = [note for note in task.notes if "below those of the classes" not in note]
    assert used.startswith("image-folder: 2 classes; images: ") and f"{state.images[1]} test" in used
    assert bool(others) == bool(state.counted)
    for part in state.counted:
        assert part in others[0]
    assert all(note.isprintable() for note in task.notes)
    bad = bad_files(folder)
    assert bad.keys() == (state.bad or {}).keys()
    for file, reason in (state.bad or {}).items():
        assert reason in bad[file]


@pytest.mark.parametrize("relative", [False, True])
def test_images_further_down_are_told(folder: Path, relative: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    place = Path() if relative else folder
    assert len(get_task("image-folder", place).notes) == 1
    put(folder / "train" / "cat" / "more" / "a.png")
    put(folder / "val" / "dog" / "more" / "still more" / "a.png")
    assert get_task("image-folder", place).notes[1].endswith("below those of the classes: 2 of 16")


def test_a_split_taken_from_train_is_told(folder: Path) -> None:
    (folder / "val").rename(folder / "vall")
    used, others = get_task("image-folder", folder).notes
    assert "a tenth of every class, for there is no folder val" in used
    assert "1 other folders (such as vall)" in others


def test_a_folder_within_the_folder_is_pointed_at(folder: Path) -> None:
    with pytest.raises(TaskError, match=r"no folder train in .* \(there is one in .*/images\)"):
        get_task("image-folder", folder.parent)


@pytest.mark.parametrize("pair", [("val", "VAL"), ("Train", "train"), ("valid", "Valid")])
def test_folders_that_differ_in_case_are_refused(folder: Path, pair: tuple[str, str]) -> None:
    for name in pair:
        for label in CLASSES:
            put(folder / name / label / "a.png")
    with pytest.raises(TaskError, match=r"has both .* keep one"):
        get_task("image-folder", folder)


def test_all_classes_of_one_split_only_are_named(folder: Path) -> None:
    (folder / "val" / "dog").rename(folder / "val" / "Dog")
    put(folder / "train" / "emu" / "a.png")
    with pytest.raises(TaskError, match=r"classes Dog; dog; emu: .*differ only in how they are written"):
        get_task("image-folder", folder)


def test_classes_written_alike_are_told(folder: Path) -> None:
    for name in ("Cat", "caf\u00e9", "cafe\u0301"):
        for split, count in (("train", 2), ("val", 1)):
            for n in range(count):
                put(folder / split / name / f"{n}.png")
    assert (
        "how they are written: Cat, cat, cafe\u0301, caf\u00e9" in get_task("image-folder", folder).notes[-1]
    )


def test_all_classes_with_too_few_images_are_named_with_what_they_have(folder: Path) -> None:
    for name in ("emu", "fox"):
        for split in ("train", "val"):
            for n in range(2):
                put(folder / split / name / f"{n}.heic", b"x")
    with pytest.raises(DamagedDataError, match="remove the class") as caught:
        get_task("image-folder", folder)
    places = ["train/emu", "train/fox", "val/emu", "val/fox"]
    assert len(caught.value.problems) == 4
    for line, place in zip(caught.value.problems, places, strict=True):
        assert f"{place} has 0 image files" in line and "2 .heic" in line


def test_all_folders_that_may_not_be_listed_are_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = os.scandir

    def denied(place: str | Path) -> object:
        if str(place).endswith("private"):
            raise PermissionError(13, "Permission denied", place)
        return listed(place)

    for name in CLASSES:
        put(folder / "train" / name / "private" / "a.png")
    monkeypatch.setattr("os.scandir", denied)
    with pytest.raises(DamagedDataError) as caught:
        get_task("image-folder", folder)
    assert [line.split("/images/")[1] for line in caught.value.problems] == [
        f"train/{name}/private (Permission denied), which cannot be listed" for name in CLASSES
    ]


def test_the_message_names_ten_and_the_error_has_all(folder: Path) -> None:
    for n in range(25):
        put(folder / "train" / "cat" / f"bad{n:02}.png", b"")
    with pytest.raises(DamagedDataError) as caught:
        get_task("image-folder", folder).check()
    assert "cannot read 25 of 39 images" in str(caught.value) and "and 15 more" in str(caught.value)
    assert str(caught.value).count(".png") == 10 and len(caught.value.problems) == 25


def test_what_a_limit_leaves_out_is_counted_and_looked_at(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(5):
        put(folder / "train" / "cat" / f"{n}.png", b"")
    task = get_task("image-folder", folder, limit=4)
    assert task.count(("train", "valid")) == 4 and "6 images to train with beyond the limit" in task.notes[1]
    with pytest.raises(DamagedDataError, match="cannot read 5 of 14"):
        task.check()
    monkeypatch.setattr("modnas.tasks.image_folder._UNUSED", 5)
    assert "beyond the limit, and not looked at" in get_task("image-folder", folder, limit=4).notes[1]


def test_files_found_whole_are_not_opened_again_unless_they_change(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def look(path: str) -> str | None:
        opened.append(path)
        return flaw(path)

    monkeypatch.setattr("modnas.tasks.image_check.flaw", look)
    known: set[bytes] = set()
    bad = put(folder / "val" / "dog" / "0.png", b"")
    for expected in (14, 1):  # what is damaged is looked at again
        opened.clear()
        with pytest.raises(DamagedDataError):
            get_task("image-folder", folder).check(known=known)
        assert len(opened) == expected
    put(bad)
    changed = folder / "train" / "cat" / "0.png"
    times = changed.stat()
    data = bytearray(changed.read_bytes())
    data[60] ^= 255
    changed.write_bytes(data)
    os.utime(changed, ns=(times.st_atime_ns, times.st_mtime_ns))  # as a copy that keeps times does
    opened.clear()
    with pytest.raises(DamagedDataError) as caught:
        get_task("image-folder", folder).check(known=known)
    assert {*opened} == {str(bad), str(changed)} and len(caught.value.problems) == 1


def test_progress_is_told_up_to_the_end(folder: Path) -> None:
    told: list[tuple[int, int]] = []
    get_task("image-folder", folder).check(lambda done, total: told.append((done, total)))
    assert told[-1] == (14, 14)


FORMATS = {
    "a.jpg": picture("JPEG"),
    "progressive.jpg": picture("JPEG", progressive=True),
    "a.png": picture("PNG"),
    "a.webp": picture("WEBP"),
    "lossless.webp": picture("WEBP", lossless=True),
    "a.bmp": picture("BMP"),
    "a.gif": picture("GIF"),
    "a.tif": picture("TIFF"),
    "lzw.tiff": picture("TIFF", compression="tiff_lzw"),
    "deflate.tiff": picture("TIFF", compression="tiff_adobe_deflate"),
    "jpeg.tiff": picture("TIFF", compression="jpeg"),
    "a.ppm": picture("PPM"),
}


@pytest.mark.filterwarnings("ignore:.*:UserWarning")  # of Pillow, of truncated TIFF files
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("large", [False, True])
def test_a_file_that_ends_too_early_is_noticed_wherever_it_ends(
    tmp_path: Path, name: str, large: bool
) -> None:
    if large:  # decoded at an eighth, and of more rows than are decoded at once
        kind = Image.open(io.BytesIO(FORMATS[name])).format
        data = picture(kind, size=(200, 300))
    else:
        data = FORMATS[name]
    path = put(tmp_path / name, data)
    assert flaw(str(path)) is None
    # The last bytes of a PNG or a GIF hold no pixels: checksums, the end's mark.
    ends = {*range(0, len(data) - 40, max(1, len(data) // 40)), len(data) // 2, len(data) - 40}
    for end in ends:
        path.write_bytes(data[:end])
        assert flaw(str(path)), f"{end} of {len(data)} bytes"
        if end % 5 == 0:  # and where it is noticed a batch could not have it
            with pytest.raises(TaskError, match=re.escape(str(path))):
                decode(str(path), 16)


def test_a_changed_byte_of_a_png_is_noticed(tmp_path: Path) -> None:
    whole = FORMATS["a.png"]
    for place in range(whole.find(b"IDAT") + 4, len(whole) - 40, 37):
        data = bytearray(whole)
        data[place] ^= 0x55
        assert flaw(str(put(tmp_path / "a.png", bytes(data))))


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (2, 3)])
def test_images_of_any_size_are_whole(tmp_path: Path, size: tuple[int, int]) -> None:
    for name, kind in (("a.png", "PNG"), ("a.jpg", "JPEG")):
        path = str(put(tmp_path / name, picture(kind, size=size)))
        assert flaw(path) is None and decode(path, 8).shape == (3, 8, 8)
