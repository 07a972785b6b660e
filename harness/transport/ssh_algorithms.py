"""The algorithms that OpenSSH's configuration allows, as far as paramiko knows them."""

from __future__ import annotations

from collections.abc import Sequence

import paramiko

from harness.core.errors import UsageError
from harness.transport.ssh_address import Address
from harness.transport.ssh_host_key import HostKeyCheck
from harness.transport.ssh_known_hosts import matches

# One algorithm has two names, of which paramiko knows one.
_OTHER_NAMES = {"curve25519-sha256": "curve25519-sha256@libssh.org"}
_CERTIFICATES = tuple(
    f"{kind}-cert-v01@openssh.com"
    for kind in (
        "ssh-ed25519",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "rsa-sha2-512",
        "rsa-sha2-256",
    )
)


def choose_algorithms(transport: paramiko.Transport, address: Address, check: HostKeyCheck) -> None:
    """Tell a connection that has not begun what it may use.

    Raises:
        UsageError: nothing is left of what the configuration allows.
    """
    wanted = dict(address.options.algorithms)
    security = transport.get_security_options()

    def allowed(option: str, known: Sequence[str]) -> tuple[str, ...]:
        found = allow(wanted.get(option), known)
        if not found:
            raise UsageError(
                f"none of the {option} that your SSH configuration allows for {address} is known here; "
                f"add one of: {', '.join(known)}"
            )
        return found

    security.ciphers = allowed("ciphers", security.ciphers)
    security.digests = allowed("macs", security.digests)
    security.kex = allowed("kexalgorithms", security.kex)
    possible = allowed("hostkeyalgorithms", (*_CERTIFICATES, *security.key_types))
    security.key_types = tuple(check.algorithms(possible))


def allow(text: str | None, known: Sequence[str]) -> tuple[str, ...]:
    """Those of the known algorithms that a list allows, in its order; it may change the usual list.

    Args:
        text: names with commas between them; after `+` or `^` more than usual, after `-` patterns for less.
    """
    if text is None or text.startswith("+"):
        return tuple(known)
    names = [_OTHER_NAMES.get(name, name) for name in text.lstrip("-^").split(",")]
    if text.startswith("-"):
        return tuple(name for name in known if not matches(name, names))
    named = tuple(name for name in dict.fromkeys(names) if name in known)
    return (*named, *(name for name in known if name not in named)) if text.startswith("^") else named
