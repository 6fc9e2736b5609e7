"""The log: one contract, a memory bus that is also the deterministic simulator, and Kafka."""
