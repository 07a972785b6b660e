"""Hardware metrics of unmeasured architectures, on devices seen or described by ten measurements."""

from modnas.prediction.meta import DeviceTable, MetaPredictor, Prediction, fit_predictor, from_state, to_state

__all__ = ["DeviceTable", "MetaPredictor", "Prediction", "fit_predictor", "from_state", "to_state"]
