"""Conformance checks of what other packages offer, to be called in their tests; `docs/plugins.md` shows how.

    from modnas.testing import check_space

    def test_space():
        check_space("my-space")

Each check raises AssertionError and says what is wrong.
"""

from modnas.testing.sources import check_source
from modnas.testing.spaces import check_space
from modnas.testing.supernetworks import check_supernetwork

__all__ = ["check_source", "check_space", "check_supernetwork"]
