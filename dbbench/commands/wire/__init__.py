"""What drivers put on the wire: counts of what the relay records, and what they say."""
