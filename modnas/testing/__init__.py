"""Conformance checks of what other packages offer, to be called in their tests; `docs/plugins.md` shows how.

    from modnas.testing import check_space, check_task

    def test_space():
        check_space("my-space")

    def test_task():
        check_task("my-task")

Each check raises AssertionError and says what is wrong.
"""

from modnas.testing.baselines import check_baseline
from modnas.testing.sources import check_source
from modnas.testing.spaces import check_space
from modnas.testing.supernetworks import check_supernetwork
from modnas.testing.tasks import check_task

__all__ = ["check_baseline", "check_source", "check_space", "check_supernetwork", "check_task"]
