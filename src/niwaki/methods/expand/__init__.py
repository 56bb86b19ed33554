"""Overparameterised training: a small network trains as a larger factorised one, then folds back."""
