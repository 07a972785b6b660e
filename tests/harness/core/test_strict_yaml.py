"""YAML that would be read as something else than it looks like is refused, with how to write it."""

from __future__ import annotations

import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from harness.core.strict_yaml import StrictYamlError, read_yaml


@pytest.mark.parametrize(
    ("text", "line", "names"),
    [
        ("a: 1\nb: 2\na: 3", 3, "a"),
        ("a:\n  b: 1\n  b: 1", 3, "b of a"),
        ("a: 1\n'a': 1", 2, "a"),
        ("a: [{b: 1, b: 2}]", 1, "b of a"),
        ("a: &x 1\nb: *x", 1, "&x"),
        ("a: {b: 1}\n<<: {c: 2}", 2, "<<"),
        ("a: *x", 1, "*x"),
        ("a: !!str 5", 1, "tag"),
        ("a: !mine 5", 1, "tag"),
        ("a: !!python/object/apply:os.abort []", 1, "tag"),
        ("a: !!binary aGk=", 1, "tag"),
        ("1: a", 1, "field 1"),
        ("a: 1\nyes: a", 2, "field yes"),
        ("null: a", 1, "field null"),
        ("a: {1.5: b}", 1, "field 1.5"),
        ("2024-01-01: a", 1, "field 2024-01-01"),
        ("? [a, b]\n: c", 1, "list"),
        ("? {a: b}\n: c", 1, "mapping"),
        ("a: 1\n---\nb: 2", 2, "document"),
        ("a: 1\n...\n---\nb: 2", 3, "document"),
    ],
)
def test_refused_with_line_and_name(text: str, line: int, names: str) -> None:
    with pytest.raises(StrictYamlError) as caught:
        read_yaml(text)
    assert f"line {line}:" in str(caught.value) and names in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("written", "read_as"),
    [
        ("yes", True),
        ("No", False),
        ("on", True),
        ("OFF", False),
        ("010", 8),
        ("0o7", "0o7"),
        ("0755", 493),
        ("0x10", 16),
        ("0b11", 3),
        ("1_000", 1000),
        ("1:30", 90),
        ("22:22", 1342),
        ("1:30.5", 90.5),
        ("1_0.5", 10.5),
    ],
)
def test_words_and_numbers_that_are_others(written: str, read_as: object) -> None:
    """What the message says to write instead is read as it says: both ways of it."""
    if isinstance(read_as, str):
        assert read_yaml(f"a: {written}") == {"a": read_as}
        return
    with pytest.raises(StrictYamlError, match=r"line 2: field b\.c") as caught:
        read_yaml(f"a: 1\nb: {{c: {written}}}")
    advice = re.search(r"write (\S+) for that, or (\S+) for the text", str(caught.value))
    assert advice and read_yaml(f"a: {advice[1]}") == {"a": read_as}
    assert read_yaml(f"a: {advice[2]}") == {"a": written}


@pytest.mark.parametrize(
    ("written", "read_as"),
    [
        ("true", True),
        ("False", False),
        ("0", 0),
        ("-12", -12),
        ("1.5", 1.5),
        ("1.0e-05", 1e-5),
        (".5", 0.5),
        (".inf", float("inf")),
        ("'yes'", "yes"),
        ('"010"', "010"),
        ("'2024-01-01'", "2024-01-01"),
        ("null", None),
        ("~", None),
        ("", None),
    ],
)
def test_what_is_plain_stays(written: str, read_as: object) -> None:
    assert read_yaml(f"a: {written}") == {"a": read_as}


def test_empty() -> None:
    assert read_yaml("") is None and read_yaml("# nothing\n") is None


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), VALUES, max_size=4))
def test_what_yaml_itself_writes_is_read(content: dict[str, object]) -> None:
    assert read_yaml(yaml.safe_dump(content)) == content


@given(st.text(max_size=60) | st.text(alphabet="ab:\n -{}[]!&*?|>'\"0.,#%@`<", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read_yaml(text)
    except StrictYamlError as error:
        assert len(str(error).splitlines()) <= 1
