"""The board that is measured on: its state, its CPUs, who has it, and what was found."""
