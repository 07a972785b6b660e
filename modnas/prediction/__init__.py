"""Hardware metrics of unmeasured architectures, on devices seen or described by ten measurements."""

from modnas.prediction.measured import DeviceTable, Measured
from modnas.prediction.meta import MetaPredictor, Prediction, fit_predictor, from_state, to_state

__all__ = [
    "DeviceTable",
    "Measured",
    "MetaPredictor",
    "Prediction",
    "fit_predictor",
    "from_state",
    "to_state",
]
