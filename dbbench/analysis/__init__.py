"""From records to rows: ratios with their intervals, where the time goes, what latency costs. Pure."""
