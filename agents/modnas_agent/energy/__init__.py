"""The energy of an inference: sensors, their readings, and what follows from them."""
