"""Three boards side by side, one of which dies half-way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from boards_namespace import NamespaceBoard

from harness.agent import reconnecting
from harness.devices.profile import DeviceProfile
from harness.measure.fleet import DeviceStatus, Fleet
from harness.measure.profiling import profile_device
from harness.store import Store
from harness.transport import ssh, ssh_connection
from modnas.spaces import get_space

SPACE = get_space("nasbench201", channels=4, cells=1, input_shape=(1, 8, 8))
CELLS = list(SPACE.references[:4])
#: Time on the board is all that counts: a measurement lasts this long whatever else the machine does.
WAITING = {"precision": 1e-5, "max_time_s": 3.0}
NAMES = ("a", "b", "dying")


@pytest.mark.exclusive
@pytest.mark.slow
def test_one_of_three_boards_dies_and_the_others_finish(
    make_board: Callable[[], NamespaceBoard],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    monkeypatch.setenv("MODNAS_HOME", str(tmp_path / "home"))
    # A board that is off is noticed sooner than in earnest: the pauses of a real one are minutes of no work.
    monkeypatch.setattr(reconnecting, "FIRST_ATTEMPT_S", 1.5)
    monkeypatch.setattr(reconnecting, "LEAST_ATTEMPT_S", 1.0)
    monkeypatch.setattr(ssh, "PROBE_AFTER_S", 0.5)
    monkeypatch.setattr(ssh, "ANSWER_S", 1.5)
    monkeypatch.setattr(ssh_connection, "CLOSE_S", 0.5)
    boards = {name: make_board() for name in NAMES}
    profiles = [
        DeviceProfile.model_validate(boards[name].endpoint().profile(name, policy=WAITING, reconnect_s=1.0))
        for name in NAMES
    ]
    with Store(f"sqlite:///{tmp_path}/one-by-one.sqlite") as store:
        began = time.monotonic()
        for profile in profiles:
            assert profile_device(profile, SPACE, CELLS, store).measured == 4
        one_by_one_s = time.monotonic() - began
    switched_off = threading.Event()

    def switch_off(statuses: list[DeviceStatus]) -> None:
        if statuses[-1].done == 2 and not switched_off.is_set():
            switched_off.set()
            threading.Thread(target=boards["dying"].power_off).start()

    with Store(f"sqlite:///{tmp_path}/together.sqlite") as store:
        began = time.monotonic()
        a, b, dying = Fleet(profiles, SPACE, CELLS, store, backoff_s=(0.1,)).run(switch_off)
        together_s = time.monotonic() - began
        rows = store.device_measurements("dying", SPACE.name, SPACE.variant)
    assert (a.state, a.done, b.state, b.done) == ("done", 4, "done", 4)
    assert dying.state == "quarantined" and 2 <= dying.done < 4 and dying.error is not None
    assert "3 failures in a row" in dying.error and "does not answer" in dying.error
    assert len(rows) == dying.done, "what was measured before is kept"
    # To the end of everything, and that is the quarantine of the third.
    record_property("together_s, one_by_one_s", (round(together_s, 1), round(one_by_one_s, 1)))
    assert together_s <= 0.45 * one_by_one_s
    assert a.temperature_c == 48.2, "as the board's thermal zone says"
