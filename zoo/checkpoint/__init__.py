"""Checkpoints: folders that are whole or absent, verified before they are used, read as data only."""
