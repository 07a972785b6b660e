"""Texts from elsewhere: nothing that steers a terminal or has no end, and ordinary writing as it is."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.foreign import (
    MAX_TEXT,
    ForeignDataError,
    clean_lines,
    clean_object,
    clean_text,
    clean_value,
    last_line,
)


@pytest.mark.parametrize(
    "text",
    [
        "Intel(R) Xeon(R) CPU           E5-2670 @ 2.60GHz",
        "Größe 5 µs, 漢字, Ελληνικά, עברית, العربية, हिन्दी, ไทย, 🎉👩‍💻, é",
        "a" * MAX_TEXT,
        "",
    ],
)
def test_ordinary_writing_stays(text: str) -> None:
    assert clean_text(text) == text


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[1;31;4mred\x1b[K", "red"),
        ("\x9b31mred", "red"),
        ("a\x1b]0;title\x07b", "ab"),
        ("a\x1b]8;;http://x\x1b\\b", "ab"),
        ("a\x1bPq#0\x1b\\b", "ab"),
        ("a\x1bcb", "ab"),
        ("a\x1b", "a\ufffd"),
        ("one\ntwo\r\nthree\tfour", "one two  three four"),
        ("one\u2028two\x85three", "one two three"),
        ("\u202egnp.exe\u202c", "\ufffdgnp.exe\ufffd"),
        ("\u2066x\u2069\u200f", "\ufffdx\ufffd\ufffd"),
        ("\ud800", "\ufffd"),
        ("\x00\x07\x08\x7f", "\ufffd" * 4),
        ("\ufeffx\U000e0041", "\ufffdx\ufffd"),
        ("x" * (MAX_TEXT + 1), "x" * (MAX_TEXT - 1) + "…"),
    ],
)
def test_what_steers_is_taken_out(text: str, cleaned: str) -> None:
    assert clean_text(text) == cleaned


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_what_comes_out_is_one_line_that_can_be_shown_and_stored(text: str) -> None:
    cleaned = clean_text(text)
    assert len(cleaned.splitlines()) <= 1 and len(cleaned) <= MAX_TEXT
    cleaned.encode("utf-8")
    assert all(c.isprintable() or unicodedata.category(c) == "Cf" for c in cleaned)
    assert not set(cleaned) & set("\u202a\u202b\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\ufeff")
    assert clean_text(cleaned) == cleaned


def test_lines_stay_lines() -> None:
    assert clean_lines("one\r\ntwo\x1b[2J\nthree\x0bfour\n") == "one\ntwo\nthree four\n"
    assert clean_lines("x" * 100_000) == "x" * 100_000


def test_last_line() -> None:
    assert last_line("one\n two \x07\n\n  \n") == "two \ufffd"
    assert last_line(" \n") == ""
    assert len(last_line("y" * 10**6)) == MAX_TEXT


@pytest.mark.parametrize(
    "value",
    [
        {"a": [[[[[[[[[[[1]]]]]]]]]]]},
        [1] * 20_000,
        ["x" * 900] * 100,
        {str(n): "x" * 90 for n in range(2000)},
        2**63,
    ],
)
def test_what_nobody_would_send_in_earnest(value: object) -> None:
    with pytest.raises(ForeignDataError):
        clean_value(value)


def test_names_and_texts_of_a_value_are_cleaned() -> None:
    value = {"\x1b[1mname": ["a\x00", {"deep": "\u202e"}], "number": 1.5, "no": None, "yes": True}
    cleaned = {"name": ["a\ufffd", {"deep": "\ufffd"}], "number": 1.5, "no": None, "yes": True}
    assert clean_value(value) == cleaned


@pytest.mark.parametrize(
    "line", ["", "[]", "5", "{", '{"a":NaN}', '{"a":1e999}', '{"a":1,"a":2}', "[" * 10**5, "\ud800"]
)
def test_what_is_no_object(line: str) -> None:
    with pytest.raises(ForeignDataError) as caught:
        clean_object(line)
    assert str(caught.value).isprintable()


@pytest.mark.exclusive
def test_a_number_of_a_million_digits_is_refused_at_once() -> None:
    began = time.monotonic()
    with pytest.raises(ForeignDataError, match="digits"):
        clean_object('{"a":' + "9" * 10**6 + "}")
    assert time.monotonic() - began < 1.0
