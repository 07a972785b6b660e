"""What a backend needs on a board that `agent install` can bring, and in which versions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness.backends.requirements import check_version, exact, narrowed, package, within
from harness.core.errors import UsageError

# What compiled code needs of a board's system, with Debian's packages of it.
CPP_LIBRARIES = {"libstdc++.so.6": "libstdc++6"}


@dataclass(frozen=True)
class WheelFile:
    """One file out of a package that is too large for a board."""

    requirement: str
    path: str


@dataclass(frozen=True)
class CpuNeed:
    """A package whose wheels for a machine need a CPU with `flags`, but for the versions `others`.

    `machine` as `platform.machine()` calls it, `flags` as /proc/cpuinfo does, `others` as in a requirement.
    """

    package: str
    machine: str
    flags: tuple[str, ...]
    others: str


@dataclass(frozen=True)
class Companion:
    """The `versions` of a package run beside the versions `needs` of another one alone, and do not say so."""

    package: str
    versions: str
    beside: str
    needs: str


@dataclass(frozen=True)
class Runtime:
    """What a backend needs on a board.

    `requirements`: packages of the index, which bring what they depend on. `files`: put beside them.
    `libraries`: system libraries that must be there, with Debian's packages of them. `needed_mb`: room on the
    board for all of it, unpacked, and for the file it comes in. `termux`: Termux's package of it.
    `cpu_needs`, `companions`: what is known of versions. `plain`: by machine, a version that runs on each of
    its CPUs.
    """

    backend: str
    name: str
    requirements: tuple[str, ...]
    needed_mb: int
    files: tuple[WheelFile, ...] = ()
    libraries: Mapping[str, str] = field(default_factory=lambda: dict(CPP_LIBRARIES))
    termux: str | None = None
    cpu_needs: tuple[CpuNeed, ...] = ()
    companions: tuple[Companion, ...] = ()
    plain: Mapping[str, str] = field(default_factory=dict)

    @property
    def identity(self) -> dict[str, object]:
        """What makes an installation another one, JSON-able."""
        files = [[file.requirement, file.path] for file in self.files]
        return {"requirements": list(self.requirements), "files": files}

    @property
    def packages(self) -> tuple[str, ...]:
        """Names of what is required."""
        return tuple(map(package, self.requirements))

    @property
    def cpu_flags(self) -> tuple[str, ...]:
        """Features of a CPU that decide on versions."""
        return tuple(dict.fromkeys(flag for need in self.cpu_needs for flag in need.flags))

    def check_versions(self, texts: Sequence[str]) -> tuple[str, ...]:
        """Those of the texts that choose a version, `name==version`; `name` alone is in order, chooses none.

        Raises:
            UsageError: one is neither, of no package of this runtime, or of one that may have no other
                version.
        """
        own = {package(text): text for text in self.requirements}
        made = tuple(map(check_version, texts))
        for text in made:
            needed = own.get(package(text))
            if needed is None:
                raise UsageError(
                    f"{self.name} needs no {package(text)}; versions can be chosen of {' and '.join(own)}"
                )
            if exact(needed) is not None and exact(text) not in (None, exact(needed)):
                raise UsageError(f"{self.name} needs {needed}, the version that this machine has, not {text}")
        return tuple(text for text in made if exact(text) is not None)

    def chosen(self, versions: Sequence[str]) -> Runtime:
        """The same with versions that `check_versions` gave, in place of those that would be taken."""
        wanted = {package(text): text for text in versions}
        made = replace(
            self, requirements=tuple(wanted.get(package(text), text) for text in self.requirements)
        )
        for one in self.companions:
            if any(_is_exactly(text, one.package, one.versions) for text in made.requirements):
                made = made._limited(one.beside, one.needs)
        return made

    def on_cpu(self, machine: str, lacking: Collection[str]) -> Runtime:
        """The same without the versions that need what the CPU lacks, but for one that was chosen."""
        made = self
        for need in self._unmet(machine, lacking):
            made = made._limited(need.package, need.others)
        return made

    def impossible(self, machine: str, lacking: Collection[str]) -> tuple[str, CpuNeed] | None:
        """A chosen version that does not run on such a CPU, and what it needs; None where there is none."""
        for need in self._unmet(machine, lacking):
            for text in self.requirements:
                if _is_exactly(text, need.package) and not _is_exactly(text, need.package, need.others):
                    return text, need
        return None

    def _unmet(self, machine: str, lacking: Collection[str]) -> list[CpuNeed]:
        lacks = [need for need in self.cpu_needs if not set(lacking).isdisjoint(need.flags)]
        return [need for need in lacks if need.machine == machine]

    def _limited(self, name: str, versions: str) -> Runtime:
        """The same with fewer versions of a package, unless one was chosen."""
        made = [
            narrowed(text, versions) if package(text) == name and exact(text) is None else text
            for text in self.requirements
        ]
        return replace(self, requirements=tuple(made))


def _is_exactly(text: str, name: str, versions: str = "") -> bool:
    """Whether a requirement is met by one version of the package `name` alone, which is in `versions`."""
    version = exact(text)
    return package(text) == name and version is not None and within(version, versions)
