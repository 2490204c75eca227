"""`pool`: the smallest connection pool with which nobody waits long for a connection."""
