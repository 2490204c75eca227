"""Processes between dbbench and a server. Each starts its server and ends it, however dbbench itself ends.

They are started by path and use the standard library alone, without site-packages.
"""
