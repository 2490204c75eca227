"""What drivers put on the wire: a relay that counts messages, and what is made of the counts."""
