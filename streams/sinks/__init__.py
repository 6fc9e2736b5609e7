"""From the log to ClickHouse, each record once: tables from the schemas, blocks with tokens, bounds persisted before every insert."""
