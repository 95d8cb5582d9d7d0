"""Contains the compared models: one file per family, to be read beside its paper."""
