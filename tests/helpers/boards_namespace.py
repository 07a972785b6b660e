"""Board (b): a Debian of its own in namespaces, with a link that can be cut or spoilt and a power switch."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

from boards_image import base_layer, cache_folder, runtime_layer
from boards_keys import Endpoint, known_hosts_line, make_key, public_part

#: Benchmark addresses (RFC 2544): they belong to nobody.
NETWORK = "198.18.11"
SLOTS = 60
START_S = 15.0
SSHD_CONFIGURATION = """
Port 22
ListenAddress {address}
HostKey /etc/ssh/board_host_key
PidFile none
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
AllowTcpForwarding yes
Subsystem sftp internal-sftp
MaxStartups 100
"""
EMULATED_SESSION = "SetEnv QEMU_CPU=cortex-a72\n"
CPUINFO = """processor\t: {number}
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3

"""
BINFMT = Path("/proc/sys/fs/binfmt_misc")
QEMU_REGISTRATION = Path("/usr/lib/binfmt.d/qemu-aarch64.conf")
#: Runs as the first process of the board's mount and process namespaces.
INIT = """
set -e
R={folder}/root
mount -t overlay overlay -o lowerdir={layers},upperdir={folder}/upper,workdir={folder}/work $R
mount -t proc proc $R/proc
{more}
mount --bind {folder}/sys $R/sys
mount -t tmpfs -o mode=755 tmpfs $R/dev
for x in null zero full random urandom tty; do touch $R/dev/$x; mount --bind /dev/$x $R/dev/$x; done
mkdir $R/dev/shm $R/dev/pts
mount -t tmpfs tmpfs $R/dev/shm
ln -s /proc/self/fd $R/dev/fd
mount -t tmpfs tmpfs $R/run
mkdir $R/run/sshd
exec chroot $R /usr/sbin/sshd -D -e -f /etc/ssh/board_sshd_config
"""


def _take_slot() -> tuple[int, IO[str]]:
    """A number that no other board on this machine has, as long as the file stays open."""
    for number in range(SLOTS):
        lock = (cache_folder() / f"slot-{number}.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return number, lock
        except BlockingIOError:
            lock.close()
    raise RuntimeError(f"{SLOTS} boards are running already")


def _ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout


def register_qemu() -> None:
    """Have the kernel run programs for aarch64 under qemu-user, in every namespace."""
    if not (BINFMT / "register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "none", BINFMT], check=True)
    if not (BINFMT / "qemu-aarch64").exists():
        (BINFMT / "register").write_text(QEMU_REGISTRATION.read_text())


class NamespaceBoard:
    """One board.

    `with_runtime`: whether ONNX Runtime is installed on it. `emulated`: board (c), aarch64 under qemu-user.
    """

    def __init__(self, folder: Path, with_runtime: bool = True, emulated: bool = False) -> None:
        self.folder = folder
        self.number, self._slot = _take_slot()
        self.namespace = f"modnas-b{self.number}"
        self.address = f"{NETWORK}.{4 * self.number + 2}"
        self._emulated = emulated
        if emulated:
            register_qemu()
        layers = [str(base_layer("arm64" if emulated else "amd64"))]
        if with_runtime:
            layers.insert(0, str(runtime_layer()))
        self._layers = ":".join(layers)
        self._holder: subprocess.Popen[bytes] | None = None
        self._write_files()
        self.client_key = folder / "client_key"
        self.known_hosts = folder / "known_hosts"
        self._lay_link()
        self.power_on()

    def endpoint(self, user: str = "board") -> Endpoint:
        """How to reach it."""
        return Endpoint(self.address, 22, user, self.client_key, self.known_hosts)

    def _write_files(self) -> None:
        for part in ("upper/etc/ssh", "upper/home/board/.ssh", "upper/root/.ssh", "work", "root", "sys"):
            (self.folder / part).mkdir(parents=True)
        client_key = make_key(self.folder / "client_key")
        host_key = make_key(self.folder / "upper/etc/ssh/board_host_key")
        (self.folder / "upper/etc/ssh/board_sshd_config").write_text(
            SSHD_CONFIGURATION.format(address=self.address) + EMULATED_SESSION * self._emulated
        )
        for home in ("root", "home/board"):
            path = self.folder / "upper" / home
            (path / ".ssh").chmod(0o700)
            path.chmod(0o755)
            (path / ".ssh/authorized_keys").write_text(public_part(client_key) + "\n")
        for path in (self.folder / "upper/home/board", *(self.folder / "upper/home/board").rglob("*")):
            os.chown(path, 1000, 1000)
        (self.folder / "known_hosts").write_text(known_hosts_line(self.address, 22, host_key))
        zone = self.folder / "sys/class/thermal/thermal_zone0"
        cpus = self.folder / "sys/devices/system/cpu"
        for made in (zone, cpus):
            made.mkdir(parents=True)
        (zone / "type").write_text("cpu-thermal\n")
        (zone / "temp").write_text("48200\n")
        for name in ("possible", "present", "online"):
            (cpus / name).write_text(f"0-{(os.cpu_count() or 1) - 1}\n")
        # Runtimes read which Arm core they are on, and crash when they are shown an x86 one.
        (self.folder / "cpuinfo").write_text("".join(CPUINFO.format(number=n) for n in range(2)))
        more = f"mount --bind {self.folder}/cpuinfo $R/proc/cpuinfo" if self._emulated else ""
        (self.folder / "init.sh").write_text(INIT.format(folder=self.folder, layers=self._layers, more=more))

    def _lay_link(self) -> None:
        # Should the link's device vanish, its packets must not leave by the default route.
        if f"blackhole {NETWORK}.0/24" not in _ip("route", "show", "type", "blackhole"):
            with contextlib.suppress(subprocess.CalledProcessError):  # another session was faster
                _ip("route", "add", "blackhole", f"{NETWORK}.0/24", "metric", "4294967295")
        with contextlib.suppress(subprocess.CalledProcessError):
            _ip("netns", "del", self.namespace)  # left behind by a killed session
        _ip("netns", "add", self.namespace)
        host = f"{NETWORK}.{4 * self.number + 1}"
        self._link = subprocess.Popen(
            [
                sys.executable,
                Path(__file__).with_name("boards_link.py"),
                self.namespace,
                f"mtl{self.number}",
                host,
                self.address,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._link.stdout is not None
        if self._link.stdout.readline() != b"up\n":
            raise RuntimeError("the board's link did not come up")

    def power_on(self) -> None:
        """Start the board; its disk is as the power cut left it."""
        self.set_link()
        log = self.folder / "sshd.log"
        with log.open("wb") as output:
            command = [
                "ip",
                "netns",
                "exec",
                self.namespace,
                "unshare",
                "--mount",
                "--propagation",
                "private",
            ]
            command += ["--pid", "--fork", "--kill-child", "bash", str(self.folder / "init.sh")]
            self._holder = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        deadline = time.monotonic() + START_S
        while b"Server listening" not in log.read_bytes():
            if self._holder.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the board did not start: {log.read_text()}")
            time.sleep(0.02)

    def power_off(self) -> None:
        """Cut the power: every process ends at once, and nothing answers any more."""
        self.set_link(loss_percent=100)
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self._holder is not None:
            self._holder.kill()
            self._holder.wait()
        while self.processes():
            time.sleep(0.02)

    def reboot(self, off_s: float = 0.0) -> None:
        """Power off and on again."""
        self.power_off()
        time.sleep(off_s)
        self.power_on()

    def set_link(self, delay_ms: float = 0.0, loss_percent: float = 0.0) -> None:
        """One-way delay, and the share of packets lost either way; 100 cuts the link."""
        assert self._link.stdin is not None
        self._link.stdin.write(f"{delay_ms} {loss_percent}\n".encode())
        self._link.stdin.flush()

    def cut(self) -> None:
        """Cut the link: nothing is closed, nothing arrives."""
        self.set_link(loss_percent=100)

    def processes(self) -> list[int]:
        """This machine's ids of the processes on the board."""
        found = {int(pid) for pid in _ip("netns", "pids", self.namespace).split()}
        return sorted(found - {self._link.pid})

    def commands(self) -> dict[int, str]:
        """Command line of every process on the board."""
        found = {}
        for pid in self.processes():
            with contextlib.suppress(OSError):
                found[pid] = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
        return found

    def agents(self) -> list[int]:
        """Processes that serve an agent's host."""
        return [pid for pid, command in self.commands().items() if ".pyz serve" in command]

    def freeze(self, frozen: bool = True) -> None:
        """Stop everything on the board, or let it go on; its kernel goes on acknowledging."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP if frozen else signal.SIGCONT)

    def shell(self, script: str) -> str:
        """What a script prints that root runs on the board, past any SSH."""
        assert self._holder is not None
        inside = next(pid for pid, command in self.commands().items() if "sshd" in command)
        enter = ["nsenter", "--target", str(inside), "--mount", "--pid", "--net", "--root", "--wd"]
        done = subprocess.run(
            [*enter, "/bin/sh", "-ec", script],
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        )
        if done.returncode != 0:
            raise RuntimeError(f"{script!r} on the board: {done.stderr}")
        return done.stdout

    def mount_disk(self, path: str, kilobytes: int, options: str = "mode=777") -> None:
        """Mount a disk of this size, which everybody may write to, over a folder of the board."""
        assert self._holder is not None
        self.shell(f"mkdir -p {path}")
        inside = next(pid for pid, command in self.commands().items() if "sshd" in command)
        # The board has no mount of its own; its root is a folder of the mount namespace's root.
        mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k,{options}", "tmpfs"]
        subprocess.run(
            ["nsenter", "--target", str(inside), "--mount", *mount, f"{self.folder}/root{path}"], check=True
        )

    def remove(self) -> None:
        """Power off, take the link away, delete the disk."""
        self.power_off()
        assert self._link.stdin is not None and self._link.stdout is not None
        self._link.stdin.close()
        self._link.wait()
        self._link.stdout.close()
        _ip("netns", "del", self.namespace)
        shutil.rmtree(self.folder, ignore_errors=True)
        self._slot.close()
