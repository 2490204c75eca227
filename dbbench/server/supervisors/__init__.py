"""Processes between dbbench and a server: each starts it, and ends it however dbbench ends.

Started by path, with the standard library alone, and without site-packages.
"""
