"""Identities: the written-out hashes hold the ids of every recorded log; they never change."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.domain.events import CauseKind, InstructionKind, PositionSide
from streams.domain.ids import Part, deployment_epoch, identity, instruction_identity

PARTS = st.none() | st.integers() | st.text(max_size=8)

# Computed apart from the code: SHA-256 over 4-byte big-endian length, kind letter and text of each part; the first 16 hex digits, halved.
A_SEVEN_NONE = 7141980763035405802
TAKEOVER_OF_11 = 6196946865220575021


def spelled_out(*parts: bytes) -> int:
    return int(sha256(b"".join(parts)).hexdigest()[:16], 16) // 2


def test_the_golden_identity_is_the_hash_of_its_spelled_out_parts() -> None:
    assert identity("a", 7, None) == A_SEVEN_NONE == spelled_out(b"\0\0\0\1sa", b"\0\0\0\1i7", b"\0\0\0\0n")


def test_the_golden_instruction_identity_is_the_hash_of_its_cause() -> None:
    parts = (
        b"\0\0\0\x0bsinstruction",
        b"\0\0\0\1i1",
        b"\0\0\0\3i123",
        b"\0\0\0\2i11",
        b"\0\0\0\1i1",
        b"\0\0\0\1i2",
        b"\0\0\0\0n",
        b"\0\0\0\1i5",
        b"\0\0\0\1i1",
    )
    assert spelled_out(*parts) == TAKEOVER_OF_11
    takeover = instruction_identity(
        epoch=0, cause_kind=1, cause_id=123, account=11, instrument=1, position_side=2, counter_account=None, rung=5, attempt=1
    )
    assert takeover == TAKEOVER_OF_11


def test_the_epoch_of_a_deployment_stands_before_the_cause() -> None:
    parts = (
        b"\0\0\0\x0bsinstruction",
        b"\0\0\0\2i77",
        *(b"\0\0\0\1i" + digit for digit in (b"1", b"9", b"8")),
        b"\0\0\0\0n",
        b"\0\0\0\0n",
        b"\0\0\0\0n",
    )
    cancel = instruction_identity(
        epoch=77, cause_kind=1, cause_id=9, account=8, instrument=None, position_side=None, counter_account=None, rung=1, attempt=1
    )
    assert cancel == spelled_out(*parts, b"\0\0\0\1i1", b"\0\0\0\1i1")


def test_a_deployment_made_again_under_its_name_has_another_epoch() -> None:
    epochs = {deployment_epoch(name, topic_id) for name in ("prod", "test") for topic_id in ("k3V", "k3W", None)}
    assert len(epochs) == 6
    assert deployment_epoch("prod", "k3V") == spelled_out(b"\0\0\0\x0asdeployment", b"\0\0\0\4sprod", b"\0\0\0\3sk3V")


def test_an_enum_counts_as_its_code() -> None:
    with_enums = instruction_identity(
        epoch=0, cause_kind=CauseKind.EPISODE, cause_id=123, account=11, instrument=1, position_side=PositionSide.LONG, counter_account=None,
        rung=InstructionKind.TAKEOVER, attempt=1,
    )  # fmt: skip
    assert with_enums == TAKEOVER_OF_11


@pytest.mark.parametrize(("one", "other"), [((1, 23), (12, 3)), (("1",), (1,)), ((None,), ("",)), (("a", "b"), ("ab",)), ((1, None), (1,))])
def test_causes_that_would_read_the_same_when_joined_have_different_ids(one: tuple[Part, ...], other: tuple[Part, ...]) -> None:
    assert identity(*one) != identity(*other)


@given(one=st.lists(PARTS, max_size=5), other=st.lists(PARTS, max_size=5))
def test_an_identity_names_one_cause_and_fits_63_bits(one: list[Part], other: list[Part]) -> None:
    assert (identity(*one) == identity(*other)) is (one == other)
    assert 0 <= identity(*one) < 2**63
