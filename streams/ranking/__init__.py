"""Who is deleveraged first: scores, their exact total order, lights and percentiles. Pure; longs and shorts are ranked apart by the caller."""
