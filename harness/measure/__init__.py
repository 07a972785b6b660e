"""Measuring: a session with a device, many architectures on it, drift, many devices, tuning."""
