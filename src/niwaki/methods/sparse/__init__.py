"""Sparse networks: few single weights stay, found before, after or while training."""
