"""Boards reached over SSH: added, installed, given runtimes, and what of their folder is ours."""
