"""The regression gate: two environments, base and head, measured as two arms of one run, and a verdict on the whole."""
