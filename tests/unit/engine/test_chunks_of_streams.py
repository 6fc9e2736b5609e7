"""The records of one stream out of a topic that carries several."""

from streams.bus.contract import Chunk, NewRecord
from streams.engine.chunks import only
from tests.support.toy import fill, mark, record


def test_every_record_of_a_topic_is_of_exactly_one_stream_strangers_of_the_first() -> None:
    chunk = Chunk("account-events", 0, 0, 4)
    stranger = NewRecord("account-events", 0, 0, b"", record("marks", mark(5), 0).value)
    for offset, each in enumerate([record("fills", fill(1, 4, 1), 0), stranger, NewRecord("account-events", 0, 0, None, None)]):
        chunk.append(offset, each)
    assert [list(only(chunk, stream).offsets) for stream in ("fills", "account-updates", "instruction-results")] == [[0, 1, 2], [], []]
