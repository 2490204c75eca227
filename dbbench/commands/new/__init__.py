"""`dbbench new`: scenario files that run."""
