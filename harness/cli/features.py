"""`modnas-hw features`: a device's vector."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli.options import DeviceOption, MetricOption, SetOption, SpaceOption, make_space
from harness.cli.output import JsonOption, Shown, print_json, print_table, say
from harness.devices.table import table_note
from harness.measure.features import measure_features
from harness.store import Store
from harness.store.metrics import get_metric

ReferencesOption = Annotated[
    int | None,
    typer.Option(
        "--references", min=10, help="Measure so many in all; the trained predictor chooses those beyond ten."
    ),
]


def features(
    device: DeviceOption,
    space: SpaceOption = "nasbench201",
    metric: MetricOption = "latency",
    settings: SetOption = None,
    references: ReferencesOption = None,
    json_output: JsonOption = False,
) -> None:
    """The device vector: the metric on the ten reference architectures, measured where it is missing."""
    sized = make_space(space, settings)
    with Store() as store:
        found = measure_features(device, sized, metric, store, Shown(), count=references)
    if json_output:
        print_json(found.document())
        return
    vector = found.features
    rows = zip((a.string for a in sized.references), vector.values, vector.vector.tolist(), strict=True)
    print_table(list(rows), ["reference architecture", get_metric(metric).title, "feature"])
    if found.further:
        chosen = [(a.string, value) for a, value in found.further.items()]
        print_table(chosen, ["further architecture", get_metric(metric).title])
    if found.table:
        say(table_note(vector.device, found.table, sized))
