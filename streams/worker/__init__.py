"""The worker process: which of its parts run, how they start and stop, and how it shares the shards with other workers."""
