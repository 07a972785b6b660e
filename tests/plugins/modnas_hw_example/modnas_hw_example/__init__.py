"""A space, a task and a backend for modnas-hw."""
