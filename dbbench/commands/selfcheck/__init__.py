"""`selfcheck`: how far this machine can be trusted."""
