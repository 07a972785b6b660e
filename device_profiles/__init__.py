"""Shipped device profiles, one YAML file each."""
