"""A store's password stays in its URL, however that is spelled and whatever goes wrong."""

from __future__ import annotations

import importlib.util
import traceback
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from harness.cli import main
from harness.core.errors import UsageError
from harness.store import Store, StoreError

#: Nothing else has these, whole or in part.
HEAD, TAIL = "Zq7hunter", "vK3trustno1"
AWKWARD = "p@ss/w:o?r#d"
SPECIAL = [*"@:/?#[]%\"'\\ &=+;,ü\n", "", "$(x)", "%40", AWKWARD]
#: Nobody listens there.
PLACE = "127.0.0.1:1"


def encodings(password: str) -> Iterator[str]:
    """The ways to write a password into a URL, right and wrong."""
    yield password
    yield quote(password, safe="")
    if len(password) > len(f"{HEAD}{TAIL}") + 1:
        yield quote_plus(password)
        yield "".join(f"%{byte:02x}" for byte in password.encode())
        yield quote(quote(password, safe=""), safe="")


def addresses(secret: str) -> Iterator[str]:
    """The places for a password in an address, right and wrong."""
    for scheme in ("postgresql", "postgres", "postgresql+psycopg", "postgresql+psycopg2"):
        yield f"{scheme}://me:{secret}@{PLACE}/db"
    yield f"postgresql://:{secret}@{PLACE}/db"
    yield f"postgresql://me:{secret}@[::1]:1/db"
    yield f"postgresql://me:{secret}@127.0.0.1:port/db"
    yield f"postgresql://me:{secret}@{PLACE},{PLACE}/db"
    yield f"postgresql://me:{secret}@/db?host=127.0.0.1&port=1"
    yield f"postgresql://me:{secret}@{PLACE}/db?nonsense=1"
    yield f"postgresql://me:{secret}@{PLACE}/db?connect_timeout=nonsense"
    yield f"postgresql://me:x@{PLACE}/db?password={secret}"
    for option in ("password", "PASSWORD", "pass%77ord", "sslpassword", "passwd", "secret", "token", "pwd"):
        yield f"postgresql://me@{PLACE}/db?{option}={secret}"
    yield f"postgresql://me@{PLACE}/db?password=x&password={secret}"
    yield f"postgresql://me@{PLACE}/db?options=-c%20password={secret}"
    yield f"postgresql://me@{PLACE}/db?user=me:{secret}"
    yield f"postgresql:/me:{secret}@{PLACE}/db"
    yield f"postgresql//me:{secret}@{PLACE}/db"
    yield f" postgresql://me:{secret}@{PLACE}/db"
    yield f"POSTGRESQL://me:{secret}@{PLACE}/db"
    yield f"jdbc:postgresql://{PLACE}/db?user=me&password={secret}"
    yield f"host=127.0.0.1 port=1 user=me password={secret}"
    yield f"me:{secret}@{PLACE}"
    for scheme in ("mysql", "mariadb+pymysql", "oracle", "mssql+pyodbc", "nonsense", "sqlite+pysqlcipher"):
        yield f"{scheme}://me:{secret}@{PLACE}/db?password={secret}"
    yield f"mssql+pyodbc:///?odbc_connect=PWD%3D{secret}"
    yield f"sqlite://me:{secret}@/file"
    yield f"sqlite:////nowhere/file?password={secret}"
    yield f"sqlite:///file?key={secret}"


pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("psycopg") is None, reason="psycopg is not installed (extra postgres)"
)


@pytest.mark.parametrize("character", SPECIAL, ids=repr)
def test_it_is_in_no_message_and_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, character: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for encoded in encodings(f"{HEAD}{character}{TAIL}"):
        for address in addresses(encoded):
            with pytest.raises((UsageError, StoreError)) as caught:
                Store(address)
            told = "".join(traceback.format_exception(caught.value))
            assert HEAD not in told and TAIL not in told, address
            assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_it_is_in_no_output_of_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for encoded in encodings(f"{HEAD}{AWKWARD}{TAIL}"):
        for address in addresses(encoded):
            monkeypatch.setenv("MODNAS_STORE", address)
            # A traceback, the line for people and the document for programs: all that there is to be told.
            assert main(["--debug", "devices", "list", "--json"]) in (1, 2), address
            output, errors = capsys.readouterr()
            told = output + errors
            assert HEAD not in told and TAIL not in told and "internal" not in told, address
