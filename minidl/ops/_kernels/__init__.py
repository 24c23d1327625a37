"""CUDA C beside the formulas that it speeds up; on NumPy nothing of it is loaded but `_choice`."""
