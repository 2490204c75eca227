"""`selfcheck`: how far measurements on this machine can be trusted."""
