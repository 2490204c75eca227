"""The parent while it measures: options to plan, server, workers, blocks."""
