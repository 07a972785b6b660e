"""The agent that runs on a board and measures networks there.

It uses nothing but the standard library (Python 3.8 or newer) until a runtime is asked for, and it runs from
a zip archive. `docs/architecture.md` describes the protocol it speaks on stdin and stdout.
"""

from modnas_agent.version import content_version

__version__ = content_version(__path__)
