"""The accounts task's machine: positions, margin, detection, episodes, candidates, totals. Pure; one instance per shard."""
