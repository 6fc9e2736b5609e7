"""Vocabulary and arithmetic: units, money, instruments, events, instructions. Pure: no clock, randomness, I/O or float money."""
