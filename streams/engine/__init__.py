"""The engine: one task per shard takes slices of the log, runs a pure machine and commits outputs with a step record."""
