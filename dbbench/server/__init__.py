"""The PostgreSQL server that is measured against: the embedded one, or the user's own."""
