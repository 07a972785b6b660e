"""Fixtures for all tests."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Generator
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from seed_shift import shift_seeds
from turns import turn

# A time limit an example would make tests fail on a busy machine.
settings.register_profile("modnas", deadline=None)
settings.load_profile("modnas")

# Before test modules are imported: they draw too.
shift_seeds(int(os.environ.get("MODNAS_SEED_SHIFT", "0")))


# Tests send signals to what they start, which inherits that they are ignored where tests run in the
# background.
for number in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes are named by their argument, not by what they hold: what is made at import, with the time in it,
    has another name in every process, and pytest-xdist refuses to run such tests.
    """
    return argname if isinstance(val, bytes) else None


def is_exclusive(item: pytest.Item) -> bool:
    """Whether a test needs the machine to itself."""
    return item.get_closest_marker("exclusive") is not None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that need the machine to themselves come last: until then no process waits for another."""
    items.sort(key=is_exclusive)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Tests in several processes take turns; the wait is not part of a test's time limit."""
    is_worker = hasattr(item.config, "workerinput")  # one of pytest-xdist's processes, beside others
    shared = Path(item.config.getoption("basetemp")).parent if is_worker else None
    with turn(shared, is_exclusive(item)) if shared else nullcontext():
        return (yield)


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """One thread, unless OMP_NUM_THREADS says how many: results do not depend on the machine's cores, and
    threads that wait for each other on a busy machine cost more than they bring for tiny networks.
    """
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))


@pytest.fixture(autouse=True)
def seeded() -> None:
    """A test that draws without a seed draws the same alone and after others."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of published tables (nb201/, ofa/, hat/, ...); skips where there is none."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("MODNAS_TEST_DATA", beside))
    if not (folder / "nb201").is_dir():
        pytest.skip(f"no published tables in {folder}; MODNAS_TEST_DATA may name their folder")
    return folder


@pytest.fixture
def install_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts a package of one module, `code`, with entry points on the path, as pip would."""
    folder = tmp_path / "installed"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)

    def put(distribution: str, group: str, points: dict[str, str], code: str = "") -> None:
        module = distribution.replace("-", "_")
        sys.modules.pop(module, None)  # of another test
        (folder / f"{module}.py").write_text(code)
        info = folder / f"{module}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
        lines = "".join(f"{name} = {module}:{attribute}\n" for name, attribute in points.items())
        (info / "entry_points.txt").write_text(f"[{group}]\n{lines}")

    return put
