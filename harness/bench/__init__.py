"""The paper's experiments on published tables."""
