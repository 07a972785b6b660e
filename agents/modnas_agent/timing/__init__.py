"""Measuring a network: the process that is forked for it, when to stop, and the statistics."""
