"""Conformance checks of what other packages offer, to be called in their tests; `docs/plugins.md` shows how.

    from modnas.testing import check_task

    def test_task():
        check_task("my-task")

Each check raises AssertionError and says what is wrong.
"""

from modnas.testing.tasks import check_task

__all__ = ["check_task"]
