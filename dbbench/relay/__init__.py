"""A process between drivers and a server, which records the protocol's messages that pass, or delays what passes."""
