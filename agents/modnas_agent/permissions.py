"""Whose a file is, and what has to be done to be allowed to use it."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from pathlib import Path


def permission_hint(path: Path) -> str:
    """Whose a file is and who may use it, as one clause for a message; empty where nobody can tell.

    Where its group may and this user is not in it, the command that helps is named. The folder above speaks
    for a file that cannot be looked at.
    """
    try:
        status = path.stat()
    except OSError:
        if path == path.parent:
            return ""
        return permission_hint(path.parent)
    owner, group = _user(status.st_uid), _group(status.st_gid)
    said = f"{path} is of {owner}:{group}, {stat.filemode(status.st_mode)}"
    if (
        status.st_mode & stat.S_IRGRP
        and status.st_gid
        and status.st_gid not in {os.getegid(), *os.getgroups()}
    ):
        return (
            f"{said}; join its group with: sudo usermod -aG {group} {_user(os.geteuid())}, and log in again"
        )
    return f"{said}, and this is {_user(os.geteuid())}"


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:  # containers run as numbers without a name
        return str(number)


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
