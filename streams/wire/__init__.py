"""Bytes <-> columns: Avro schemas, single-object framing, three codecs that agree."""
