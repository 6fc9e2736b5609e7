"""The insurance fund: what it is worth, what it takes over, whom it covers, and when an instrument is in ADL. Pure."""
