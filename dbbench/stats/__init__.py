"""Statistics: numbers in, numbers out. Imports nothing of dbbench."""
