"""Requirements of packages as pip takes them: `name`, `name>=1.17`, `name==1.20.1`."""

from __future__ import annotations

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from harness.core.errors import UsageError


def package(text: str) -> str:
    """Name of what is required, as the index writes it."""
    return canonicalize_name(Requirement(text).name)


def exact(text: str) -> str | None:
    """The one version that is required; None where several may be taken."""
    parts = list(Requirement(text).specifier)
    one = len(parts) == 1 and parts[0].operator == "==" and "*" not in parts[0].version
    return parts[0].version if one else None


def within(version: str, versions: str) -> bool:
    """Whether a version is one of `versions`, written as in a requirement."""
    return SpecifierSet(versions).contains(version)


def narrowed(text: str, versions: str) -> str:
    """A requirement that is met by those of its versions alone that are in `versions` as well."""
    requirement = Requirement(text)
    requirement.specifier &= SpecifierSet(versions)
    return str(requirement)


def check_version(text: str) -> str:
    """`name==version` or `name`, as the index writes it. Raises UsageError for everything else."""
    try:
        found = Requirement(text)
    except InvalidRequirement:
        found = None
    if found is None or found.extras or found.marker or found.url or (found.specifier and not exact(text)):
        raise UsageError(f"{text!r} is no version of a package; write it as in onnxruntime==1.20.1")
    return package(text) + (f"=={exact(text)}" if found.specifier else "")
