"""Messages to people, made from decisions already taken."""
