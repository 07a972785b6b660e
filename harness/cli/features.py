"""`modnas-hw features`: a device's vector."""

from __future__ import annotations

from harness.cli.options import DeviceOption, MetricOption, SetOption, SpaceOption, make_space
from harness.cli.output import JsonOption, Shown, print_json, print_table, say
from harness.devices.table import table_note
from harness.measure.features import measure_features
from harness.store import Store
from harness.store.metrics import get_metric


def features(
    device: DeviceOption,
    space: SpaceOption = "nasbench201",
    metric: MetricOption = "latency",
    settings: SetOption = None,
    json_output: JsonOption = False,
) -> None:
    """The device vector: the metric on the ten reference architectures, measured where it is missing."""
    sized = make_space(space, settings)
    with Store() as store:
        found = measure_features(device, sized, metric, store, Shown())
    if json_output:
        print_json(found.document())
        return
    vector = found.features
    rows = zip((a.string for a in sized.references), vector.values, vector.vector.tolist(), strict=True)
    print_table(list(rows), ["reference architecture", get_metric(metric).title, "feature"])
    if found.table:
        say(table_note(vector.device, found.table, sized))
