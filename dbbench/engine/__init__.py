"""The parent while it measures: from options to a plan, a server, workers and blocks."""
