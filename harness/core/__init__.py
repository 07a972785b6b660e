"""What the rest stands on: errors, the home folder, locks, numerals, progress, tensors as files."""
