"""Comparing result files: what two runs have in common, what changed between them, and trends over many runs.

Pure. These comparisons are only advisory, since the runs come from different jobs. `dbbench gate` measures both sides
in one job.
"""
