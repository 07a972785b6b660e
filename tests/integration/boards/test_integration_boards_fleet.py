"""Three boards side by side, one of which dies half-way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from boards_namespace import NamespaceBoard

from harness.devices.profile import DeviceProfile
from harness.fleet import DeviceStatus, Fleet
from harness.profiling import profile_device
from harness.store import Store
from harness.transport import lasting, ssh
from modnas.spaces import get_space

SPACE = get_space("nasbench201", channels=4, cells=1, input_shape=(1, 8, 8))
CELLS = list(SPACE.references[:4])
#: Time on the board is all that counts: a measurement lasts this long whatever else the machine does.
WAITING = {"precision": 1e-5, "max_time_s": 1.5}


@pytest.mark.slow
def test_one_of_three_boards_dies_and_the_others_finish(
    make_board: Callable[[], NamespaceBoard], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODNAS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MODNAS_STORE", raising=False)
    # A board that is off is noticed sooner than in earnest: this test is about the others.
    monkeypatch.setattr(lasting, "FIRST_ATTEMPT_S", 2.0)
    monkeypatch.setattr(ssh, "PROBE_AFTER_S", 1.0)
    monkeypatch.setattr(ssh, "ANSWER_S", 3.0)
    boards = {name: make_board() for name in ("alone", "a", "b", "dying")}
    profiles = {
        name: DeviceProfile.model_validate(board.endpoint().profile(name, policy=WAITING, reconnect_s=1.0))
        for name, board in boards.items()
    }
    finished: dict[str, float] = {}

    def note(statuses: list[DeviceStatus]) -> None:
        for status in statuses:
            if status.state == "done":
                finished.setdefault(status.device, time.monotonic())
            if status.device == "dying" and status.done == 2 and "killer" not in finished:
                finished["killer"] = time.monotonic()
                threading.Thread(target=boards["dying"].power_off).start()

    with Store() as store:
        began = time.monotonic()
        assert profile_device(profiles["alone"], SPACE, CELLS, store).measured == 4
        one_s = time.monotonic() - began
        began = time.monotonic()
        three = [profiles[name] for name in ("a", "b", "dying")]
        statuses = Fleet(three, SPACE, CELLS, store, backoff_s=(0.1,)).run(note)
    a, b, dying = statuses
    assert (a.state, a.done, b.state, b.done) == ("done", 4, "done", 4)
    assert dying.state == "quarantined" and 2 <= dying.done < 4 and dying.error is not None
    assert "3 failures in a row" in dying.error and "does not answer" in dying.error
    assert max(finished["a"], finished["b"]) - began <= 0.45 * 3 * one_s
    assert a.temperature_c == 48.2, "as the board's thermal zone says"
