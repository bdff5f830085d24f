"""Whole pipelines, one file each, to be read top-down and copied."""
