"""A Dropbear on the loopback, as small boards have one: no SFTP, and a disk that is soon full."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

from boards_keys import public_part
from boards_loopback import LoopbackBoard

#: Mounts that only Dropbear and what it starts see: keys where it looks for them, none of this machine's
#: programs for SFTP, a small disk.
START = """
set -e
mount --bind {folder}/user {home}/.ssh
[ ! -d /usr/lib/openssh ] || mount -t tmpfs none /usr/lib/openssh
mount -t tmpfs -o size={small_kb}k,mode=777 none {folder}/board/small
exec dropbear -F -E -s -p 127.0.0.1:{port} -r {folder}/dropbear_key -P {folder}/dropbear.pid
"""
SMALL_KB = 400


class DropbearBoard(LoopbackBoard):
    """A Dropbear instead of the sshd. `small` in its folder is a disk of `SMALL_KB`; needs root."""

    def _command(self) -> list[str | Path]:
        user, home = self.folder / "user", Path("~root").expanduser()
        user.mkdir(mode=0o700)
        (self.directory / "small").mkdir()
        (home / ".ssh").mkdir(mode=0o700, exist_ok=True)
        (user / "authorized_keys").write_text(public_part(self.folder / "client_key") + "\n")
        (user / "authorized_keys").chmod(0o600)
        key = self.folder / "dropbear_key"
        subprocess.run(["dropbearkey", "-t", "ed25519", "-f", key], check=True, capture_output=True)
        said = subprocess.run(
            ["dropbearkey", "-y", "-f", key], check=True, capture_output=True, text=True
        ).stdout
        (public,) = (line for line in said.splitlines() if line.startswith("ssh-ed25519"))
        kind, text = public.split()[:2]
        (self.folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {kind} {text}\n")
        script = START.format(
            folder=shlex.quote(str(self.folder)), home=home, port=self.port, small_kb=SMALL_KB
        )
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]
