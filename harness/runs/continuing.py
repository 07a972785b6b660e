"""The command that continues a run: the one that began it, from what the run says it was asked for."""

from __future__ import annotations

import shlex
from typing import Any

from harness.core.errors import UsageError
from harness.presets import get_preset
from harness.runs.run import BY_FUNCTION, BY_TRAINING, Run, RunConfig


def continuing(run: Run) -> str:
    """What to do to have a run go on, as a clause: a complete command where one can say all of it."""
    config = run.config
    if config.evaluated_by == BY_FUNCTION:
        return f"continue it in Python with the Study that began it and {config.accuracy_function}"
    words = ["modnas-hw", "search", "--run", run.name, *_given(config), *_changed(config)]
    command = shlex.join(words)
    if config.weights_sha256 is not None:
        command += " --weights FILE, where FILE has the weights that it began with"
    return f"continue it with: {command}"


def _given(config: RunConfig) -> list[str]:
    """Options that every search is given or has by default."""
    options: dict[str, Any] = {
        "devices": ",".join(config.devices),
        "space": config.space,
        "task": config.task,
        "data-dir": config.data_dir,
        "preset": config.preset,
        "seed": config.seed,
        "objectives": ",".join(config.objectives),
        "accelerator": config.accelerator,
    }
    if config.measure:
        options["measure"] = config.measure
    if config.evaluations is not None:
        source = "surrogate" if config.evaluated_by == BY_TRAINING else config.evaluated_by
        options |= {"accuracy": source, "evaluations": config.evaluations, "choice": config.choice}
    return [
        word for name, value in options.items() if value is not None for word in (f"--{name}", str(value))
    ]


def _changed(config: RunConfig) -> list[str]:
    """Options for what differs from the preset."""
    try:
        preset = get_preset(config.space, config.preset)
    except UsageError:  # another version's
        return []
    before, now = preset.search, config.settings.search
    words = [] if config.settings.refine == preset.refine else ["--refine", str(config.settings.refine)]
    for name in ("scheme", "estimator"):
        if now.get(name) != before.get(name):
            words += [f"--{name}", str(now[name])]
    if now.get("constraints") != before.get("constraints"):
        bounds = zip(config.objectives[1:], now["constraints"], strict=True)
        words += [
            word
            for name, bound in bounds
            if bound is not None
            for word in ("--constraint", f"{name}={bound}")
        ]
    for name in ("freeze_weights", "bfloat16"):
        if now.get(name) and not before.get(name):
            words.append(f"--{name.replace('_', '-')}")
    return words
