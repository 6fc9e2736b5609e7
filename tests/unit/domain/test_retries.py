"""Pauses after refusals."""

from streams.domain.retries import pause_after


def test_a_pause_doubles_with_each_refusal_and_grows_no_further_than_a_thousandfold() -> None:
    assert [pause_after(n, 100) for n in (0, 1, 2, 3, 11, 12, 500)] == [0, 100, 200, 400, 102_400, 102_400, 102_400]
