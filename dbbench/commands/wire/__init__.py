"""`wire`: what drivers exchange with the server, counted from what the relay records, and explained."""
