"""Contracts of the algorithm's parts; imports nothing else of the project."""
