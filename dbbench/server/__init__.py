"""The PostgreSQL server that drivers are measured against: the embedded one, or the user's own."""
