"""Searches: a run's folder, its stages, fronts of any device, verification, and what they leave behind."""
