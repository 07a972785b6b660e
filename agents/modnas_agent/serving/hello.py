"""The agent's greeting."""

from __future__ import annotations

from modnas_agent import __version__
from modnas_agent.serving.inventory import inventory
from modnas_agent.wire.protocol import PROTOCOL_VERSION, Frame


def hello(request_id: str) -> Frame:
    """The `hello` event: protocol, version, and what this board is."""
    return {
        "event": "hello",
        "id": request_id,
        "protocol": PROTOCOL_VERSION,
        "agent_version": __version__,
        "inventory": inventory(),
    }
