"""Identifiers as functions of their cause: the same cause gives the same id in every run, on every machine."""

from hashlib import sha256

Part = int | str | None


def identity(*cause: Part) -> int:
    """63 bits of SHA-256 over the parts of a cause, each length-prefixed, so that no two lists of parts read the same."""
    digest = sha256()
    for part in cause:
        text = b"" if part is None else str(part).encode()
        kind = b"n" if part is None else b"i" if isinstance(part, int) else b"s"
        digest.update(len(text).to_bytes(4, "big") + kind + text)
    return int.from_bytes(digest.digest()[:8], "big") >> 1


def deployment_epoch(deployment: str, topic_id: str | None) -> int:
    """The epoch of a deployment: its name, and the id of its topic of instructions, which another topic of that name does not have."""
    return identity("deployment", deployment, topic_id)


def instruction_identity(
    *,
    epoch: int,
    cause_kind: int,
    cause_id: int,
    account: int,
    instrument: int | None,
    position_side: int | None,
    counter_account: int | None,
    rung: int,
    attempt: int,
) -> int:
    """Id of an instruction: the deployment's epoch, its cause, the account, the position key, the counter-account, the rung and the attempt.

    A gateway drops ids that it has seen: another deployment's instruction of the same cause must have another. Epoch 0 is none (a demo, a test).
    """
    deployment = (epoch,) if epoch else ()
    return identity("instruction", *deployment, int(cause_kind), cause_id, account, instrument, position_side, counter_account, int(rung), attempt)
