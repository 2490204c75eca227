"""Reports of what was counted on the wire."""
