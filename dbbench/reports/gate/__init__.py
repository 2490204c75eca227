"""Reports of a gate."""
