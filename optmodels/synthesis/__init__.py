"""What the generators of synthetic instances share: sizes read with care, grids, wind farms."""
