"""Fixtures of the agent's tests."""

from __future__ import annotations

import zipapp
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import copytree, ignore_patterns

import pytest
from agent_process import PACKAGE_PARENT, AgentProcess


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The agent as the one-file archive that boards get."""
    folder = tmp_path_factory.mktemp("archive")
    copytree(
        PACKAGE_PARENT / "modnas_agent",
        folder / "source" / "modnas_agent",
        ignore=ignore_patterns("__pycache__"),
    )
    target = folder / "modnas_agent.pyz"
    zipapp.create_archive(folder / "source", target, main="modnas_agent.cli:main", compressed=True)
    return target


@pytest.fixture
def start_agent(tmp_path: Path) -> Iterator[Callable[..., AgentProcess]]:
    """Starts agents on one root, and stops them in the end."""
    started: list[AgentProcess] = []

    def start(root: Path = tmp_path / "root", command: list[str] | None = None) -> AgentProcess:
        started.append(AgentProcess(root, command))
        return started[-1]

    yield start
    for agent in started:
        agent.stop()


@pytest.fixture(scope="module")
def shared_agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    """An agent for tests that leave no trace in it: request ids must differ between them."""
    agent = AgentProcess(tmp_path_factory.mktemp("shared") / "root")
    yield agent
    agent.stop()


@pytest.fixture
def agent(start_agent: Callable[..., AgentProcess]) -> AgentProcess:
    """A running agent."""
    return start_agent()
