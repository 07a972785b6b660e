"""How a board is reached over SSH: the part of a device's profile that belongs to the transport."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from harness.core.strict import Strict
from harness.transport import ssh_names


class SshSettings(Strict):
    """How a board is reached over SSH. What is not given comes from `~/.ssh/config`, then from its defaults.

    `host`: name or address; without one the profile's name is looked up.
    `jump`: hosts to go through, `user@host:port`, several separated by commas.
    `python`: interpreter on the board; without it the one the agent was installed with, or any that fits.
    `directory`: the agent's folder, relative to the user's home there.
    `systemd`: start the agent under the user's systemd there, in `modnas-agent.slice`.
    `reconnect_s`: for how long after its last sign of life a board may be silent before it is given up.
    """

    host: Annotated[str, AfterValidator(ssh_names.check_host)] | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    user: Annotated[str, AfterValidator(ssh_names.check_user)] | None = None
    identity_file: Annotated[str, AfterValidator(ssh_names.check_path)] | None = None
    known_hosts: Annotated[str, AfterValidator(ssh_names.check_path)] | None = None
    jump: Annotated[str, AfterValidator(ssh_names.check_jump)] | None = None
    python: Annotated[str, AfterValidator(ssh_names.check_interpreter)] | None = None
    directory: Annotated[str, AfterValidator(ssh_names.check_folder)] = ".modnas-agent"
    systemd: bool = False
    reconnect_s: Annotated[float, Field(ge=0)] = 26.0

    def located(self, place: Callable[[str], Path | str]) -> SshSettings:
        """The same with the paths of files on this machine replaced by what `place` makes of them."""
        files = {name: getattr(self, name) for name in ("identity_file", "known_hosts")}
        return self.model_copy(update={name: str(place(path)) for name, path in files.items() if path})
