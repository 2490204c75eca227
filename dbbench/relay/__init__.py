"""A process between drivers and a server that records the protocol messages passing through it, or delays them."""
