"""A search from its configuration to its front: the run folder, its stages, evaluation and verification."""
