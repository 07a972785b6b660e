"""Device profiles: what a device is and how it is measured. One YAML file a device."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    Discriminator,
    Field,
    PrivateAttr,
    SerializeAsAny,
    Tag,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from harness.core.errors import UsageError
from harness.core.strict import Strict
from harness.core.strict_yaml import StrictYamlError, read_yaml
from harness.core.text_files import TextFileError, read_text
from harness.devices.backends import BACKENDS, DEFAULT, BackendOptions, options_model
from harness.devices.power import PowerSensor
from harness.devices.profile_problems import describe_problem
from harness.transport.settings import SshSettings
from modnas.core.registry import PluginError, UnknownNameError

MAX_BATCH = 65536
NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"


class ProfileError(UsageError):
    """A profile file that cannot be read or does not fit the schema."""

    code = "device-profile"


# What of a measurement policy changes the number that comes out; limits for giving up do not.
POLICY_IN_KEY = ("precision", "warmup_s", "min_time_s", "max_time_s", "min_samples")


class MeasurementPolicy(Strict):
    """When a measurement is good enough, and when it is given up.

    `precision`: half-width of the 95 % confidence interval of the median, relative to the median.
    `anchor_every`, `drift_limit`: after so many networks an anchor network is measured; if its latency has
    changed by more than the limit, they are measured again. `cooldown_s`: pause before each measurement.
    """

    precision: Annotated[float, Field(gt=0, lt=1)] = 0.01
    warmup_s: Annotated[float, Field(ge=0)] = 0.5
    min_time_s: Annotated[float, Field(ge=0)] = 0.1
    max_time_s: Annotated[float, Field(gt=0)] = 2.0
    min_samples: Annotated[int, Field(ge=5)] = 20
    anchor_every: Annotated[int, Field(ge=5)] = 20
    drift_limit: Annotated[float, Field(gt=0)] = 0.03
    cooldown_s: Annotated[float, Field(ge=0)] = 0.0
    timeout_s: Annotated[float, Field(gt=0)] = 60.0
    memory_limit_mb: Annotated[int, Field(gt=0)] | None = 2048


class RemoteTransport(Strict):
    """A transport that is not local. `{ssh: {}}` leaves everything to `~/.ssh/config`."""

    ssh: SshSettings


def _transport_kind(value: Any) -> str | None:
    if isinstance(value, (dict, RemoteTransport)):
        return "remote"
    return "local" if value == "local" else None


# Tagged, so that an error names the field that is wrong and not each alternative that did not fit.
TransportSettings = Annotated[
    Annotated[Literal["local"], Tag("local")] | Annotated[RemoteTransport, Tag("remote")],
    Discriminator(
        _transport_kind,
        custom_error_type="transport",
        custom_error_message="expected local, or ssh with its settings: {ssh: {}}",
    ),
]


class DeviceProfile(Strict):
    """One device at one batch size.

    `transport`: how its agent is reached; `local` starts it as a child process on this machine.
    `power_sensor`: what energy is measured with. `tdp_w`: thermal design power, for `--energy-model tdp`.
    """

    name: Annotated[str, Field(pattern=f"^{NAME_PATTERN}$")]
    description: str = ""
    transport: TransportSettings = "local"
    backend: str = DEFAULT
    options: Annotated[SerializeAsAny[BackendOptions], Field(validate_default=True)] = BackendOptions()
    batch: Annotated[int, Field(ge=1, le=MAX_BATCH)] = 1
    policy: MeasurementPolicy = MeasurementPolicy()
    power_sensor: PowerSensor = PowerSensor()
    tdp_w: Annotated[float, Field(gt=0)] | None = None
    _altered: tuple[str, ...] = PrivateAttr(())

    @field_validator("backend")
    @classmethod
    def _is_known(cls, backend: str) -> str:
        try:
            BACKENDS.load(backend)
        except (UnknownNameError, PluginError) as error:
            raise ValueError(str(error)) from error
        return backend

    @field_validator("options", mode="before")
    @classmethod
    def _are_the_backends(cls, given: Any, info: ValidationInfo) -> Any:
        if "backend" not in info.data:  # which is wrong, and told
            return BackendOptions()
        content = given.model_dump() if isinstance(given, BackendOptions) else given
        return options_model(info.data["backend"]).model_validate(content)

    @property
    def ssh(self) -> SshSettings | None:
        """How the board is reached over SSH, or None for this machine."""
        return self.transport.ssh if isinstance(self.transport, RemoteTransport) else None

    @property
    def id(self) -> str:
        """Name of the device as the paper counts devices: one machine at two batch sizes is two.

        So it is with another runtime than its file says: `cpu+torch@8`. Vectors never mix runtimes.
        """
        name = "+".join((self.name, *self._altered))
        return name if self.batch == 1 else f"{name}@{self.batch}"

    @property
    def agent_options(self) -> dict[str, Any]:
        """The runtime options of this profile's backend, JSON-able."""
        return self.options.model_dump(include=set(BACKENDS.load(self.backend).agent_options))

    def rested(self, cooldown_s: float | None) -> DeviceProfile:
        """The same device with that pause before each measurement; None leaves it as it is."""
        if cooldown_s is None:
            return self
        return self.model_copy(update={"policy": self.policy.model_copy(update={"cooldown_s": cooldown_s})})

    def changed(self, backend: str | None = None, **options: Any) -> DeviceProfile:
        """The same device measured otherwise, under an id that says how. Raises ProfileError."""
        content = self.model_dump()
        content["backend"] = backend or self.backend
        try:
            known = options_model(content["backend"]).model_fields
            kept = {name: value for name, value in content["options"].items() if name in known}
            content["options"] = {**kept, **options}
            made = DeviceProfile.model_validate(content)
        except ValidationError as error:
            field, what = first_problem(error)
            value = options.get(field.rpartition(".")[2])
            told = what if value is None else f"{field}: {what}, not {value!r}"
            raise ProfileError(f"device {self.id}: {told}") from error
        except (UnknownNameError, PluginError) as error:
            raise ProfileError(f"device {self.id}: {error}") from error
        before = self.options.model_dump()
        altered: list[str] = [made.backend] if made.backend != self.backend else []
        altered += [str(value) for name, value in options.items() if value != before.get(name)]
        made._altered = (*self._altered, *altered)
        return made


def first_problem(error: ValidationError) -> tuple[str, str]:
    """The first field that is wrong, as in `ssh.user`, and what is wrong with it."""
    first = error.errors()[0]
    # What a check of ours says stands alone; pydantic would call it a "Value error".
    ours = first.get("ctx", {}).get("error")
    return ".".join(str(part) for part in first["loc"]), str(ours or first["msg"])


def known_fields(name: str, backend: object = None) -> dict[str, Any]:
    """Every field of a profile with its default, `name` for the name; options are a known backend's."""
    try:
        options = options_model(str(backend))
    except (UnknownNameError, PluginError):
        options = options_model(DEFAULT)
    return {
        **DeviceProfile(name="any").model_dump(),
        "name": name,
        "options": options().model_dump(),
        "transport": {"ssh": SshSettings().model_dump()},
    }


def load_profile(path: Path) -> DeviceProfile:
    """Read one profile file. Raises ProfileError with the file, the field, its value, and one that works."""
    try:
        content = read_yaml(read_text(path))
    except TextFileError as error:
        raise ProfileError(f"profile {error}") from error
    except StrictYamlError as error:
        raise ProfileError(f"profile {path} is not YAML of a profile: {error}") from error
    if not isinstance(content, dict):
        raise ProfileError(f"profile {path} must be a mapping of fields such as name and backend")
    try:
        profile = DeviceProfile.model_validate(content)
    except ValidationError as error:
        known = known_fields(path.stem, content.get("backend"))
        raise ProfileError(f"profile {path}: {describe_problem(error, content, known)}") from error
    if profile.name != path.stem:
        raise ProfileError(f"profile {path} names itself {profile.name!r}; name and file name must agree")
    if profile.ssh is None:
        return profile
    settings = profile.ssh.located(lambda named: _seen_from(path.parent, named))
    return profile.model_copy(update={"transport": RemoteTransport(ssh=settings)})


def _seen_from(folder: Path, named: str) -> str:
    """A path that a profile in `folder` names. Earlier versions took it from the working directory."""
    path = folder.absolute() / named
    if named.startswith("~"):
        return named
    return str(path) if path.exists() or not Path(named).exists() else str(Path(named).absolute())
