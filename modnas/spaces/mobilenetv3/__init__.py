"""The once-for-all MobileNetV3 space."""

from modnas.spaces.mobilenetv3.space import MobileNetV3

__all__ = ["MobileNetV3"]
