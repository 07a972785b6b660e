"""What a run rests on besides its settings: the content of its data, and tables of devices nobody measures.

Both are identified by what they hold, not by a path or a name: the same content elsewhere is the same run,
and another content under the same path is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from harness.core.errors import UsageError
from harness.datasets.accuracies import accuracies_name
from harness.datasets.fingerprint import Fingerprint, Tell
from harness.datasets.task_content import PACKAGED, identity, look_at, place
from harness.devices.table import earlier_table, is_table, stored_table
from harness.runs.run import REFERENCES, Run, RunConfig, TaskAndSpace
from harness.store import ERROR_METRIC, Store
from modnas.spaces import Space

_UNKNOWN = "what differs is not recorded"
_HINT = "put that back, or start another run with another --run NAME"


def content_now(config: RunConfig) -> str | None:
    """`identity` of a run's data as they are now."""
    return identity(config.task, look_at(config.task, config.data_dir))


def content_at_first(config: RunConfig) -> str | None:
    """What a configuration says of its data's content, and where it does not, `content_now`."""
    return config.data_sha256 or content_now(config)


def require_content(config: RunConfig, content: str | None) -> None:
    """Raise UsageError when the data have changed since they had this content.

    To be called before anything is kept that was learned from them.
    """
    if content_now(config) != content:
        raise UsageError(
            f"the data in {place(config.task, config.data_dir)} changed while they were in use; what was "
            "learned since is not kept: put them back and give the command again"
        )


def complete(
    config: RunConfig,
    store: Store,
    name: str | None = None,
    tell: Tell | None = None,
    made: TaskAndSpace | None = None,
) -> tuple[RunConfig, Fingerprint]:
    """A configuration with the contents that are there now, and its data's in full.

    `made`: its task and space, if they are wanted elsewhere too.

    Raises UsageError when there is a run called `name` which began with other contents.
    """
    data = look_at(config.task, config.data_dir, tell)
    config = config.model_copy(update={"data_sha256": identity(config.task, data)})
    begun = _begun(config, name)
    if begun is not None:
        _require_data(begun, config, data)
    tables = _tables(config, store)
    if tables or not data.files:  # where there are none, the task says what is missing
        space = (made or TaskAndSpace(config)).space
        held = {d: _contents(store, d, space, config) for d in tables}
        config = config.model_copy(update={"tables": held or None})
        if begun is not None:
            require_tables(begun, store, space)
    return config, data


def _begun(config: RunConfig, name: str | None) -> Run | None:
    """The run called `name`, if it has learned something already, on the task of this configuration."""
    run = Run.at(config, name) if name is not None else None
    stored = run.stored_config() if run is not None and run.has_learned else None
    same = stored is not None and (stored.task, stored.space) == (config.task, config.space)
    return Run(run.path, stored) if run is not None and stored is not None and same else None


def why_another(run: Run, data: Fingerprint) -> str | None:
    """Why a run begins though there is one with the same settings: its data or tables were others.

    `data`: the new run's.
    """
    config = run.config
    for path in sorted(run.path.parent.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True):
        with suppress(UsageError, NotADirectoryError):  # damaged ones are no reason for anything
            there = Run(path, config).stored_config()
            if there is None or there.data_dir != config.data_dir or there.identity == config.identity:
                continue
            inputs = {"data_sha256": config.data_sha256, "tables": config.tables}
            if there.model_copy(update=inputs).identity == config.identity:
                why = _what_differs(Run(path, there), config, data)
                return f"it does not go on with run {path.name}: {why}"
    return None


def _what_differs(other: Run, config: RunConfig, data: Fingerprint) -> str:
    if not is_recorded(other.config):
        return "what data that began with is not recorded"
    if other.config.data_sha256 == config.data_sha256:
        return "the tables of its devices have changed since"
    before = other.stored_data()
    return f"the data have changed since ({data.changes_since(before) if before else _UNKNOWN})"


def opened(run: Run) -> Run:
    """A run whose data are what it began with. One from before contents were recorded is of those there now.

    Raises:
        UsageError: the data are gone, or changed.
        TaskError: their folder cannot be listed.
    """
    config = run.config
    require_place(run)
    data = look_at(config.task, config.data_dir)
    now = config.model_copy(update={"data_sha256": identity(config.task, data)})
    if is_recorded(config):
        _require_data(run, now, data)
    return Run(run.path, now)


def is_recorded(config: RunConfig) -> bool:
    """Whether it is known what data a run began with."""
    return config.data_sha256 is not None or config.task in PACKAGED


def is_there(config: RunConfig) -> bool:
    """Whether there is something where the data of a run were."""
    return config.data_dir is None or Path(config.data_dir).exists()


def require_place(run: Run) -> None:
    """Raise UsageError when the data of a run are not where they were."""
    folder = run.config.data_dir
    if folder is None or is_there(run.config):
        return
    if not Path(folder).is_absolute():
        raise UsageError(
            f"run {run.name}: its data are in {folder}, seen from where the search was started; give the "
            "command there"
        )
    raise UsageError(
        f"run {run.name}: its data are no longer in {folder}; put them back, or give its search command "
        "again with --data-dir where they are now"
    )


def _require_data(run: Run, now: RunConfig, data: Fingerprint) -> None:
    """Raise UsageError when `run` began with other data than those of `now`."""
    if now.data_sha256 == run.config.data_sha256:
        return
    if not is_recorded(run.config):
        raise UsageError(
            f"run {run.name} began before the content of its data was recorded, so that it cannot go on with "
            "what may be others; start another run with another --run NAME (front and report still read it)"
        )
    before = run.stored_data()
    changes = data.changes_since(before) if before is not None else _UNKNOWN
    raise UsageError(
        f"run {run.name}: the data in {place(now.task, now.data_dir)} are not those that it began with "
        f"({changes}); {_HINT}"
    )


def _tables(config: RunConfig, store: Store) -> list[str]:
    """What of a run's values are imported: those of devices, and the task's accuracies."""
    accuracies = [accuracies_name(config.task)] if config.evaluated_by == "published" else []
    return [*(d for d in config.devices if is_table(d, store)), *accuracies]


def _contents(store: Store, device: str, space: Space, config: RunConfig) -> dict[str, str]:
    """What identifies a table device's values, by metric."""
    of_device = device in config.devices
    metrics = [m for m in config.objectives if (m != ERROR_METRIC) == of_device]
    tables = {metric: stored_table(store, device, space, metric) for metric in metrics}
    return {metric: table.sha256 for metric, table in tables.items() if table is not None}


def require_tables(run: Run, store: Store, space: Space) -> None:
    """Raise UsageError when the values of a table device have changed since the run began with them."""
    config = run.config
    recorded: Mapping[str, Mapping[str, str]] = config.tables or {}
    for device in _tables(config, store):
        if device not in recorded:
            if run.has(REFERENCES):
                raise UsageError(
                    f"run {run.name}: device {device} was measured when the run began, and is an imported "
                    "table now; start another run with another --run NAME"
                )
            continue  # from before tables were recorded
        for metric, before in recorded[device].items():
            now = stored_table(store, device, space, metric)
            if now is None or now.sha256 != before:
                earlier = earlier_table(store, device, space, metric, before)
                changes = now.changes_since(earlier) if now and earlier else _UNKNOWN
                raise UsageError(
                    f"run {run.name}: the table of {metric} on {device} is not the one that it began with "
                    f"({changes}); {_HINT}"
                )
