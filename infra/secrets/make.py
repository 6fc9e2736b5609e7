"""Makes the passwords of the compose stack, once: random ones, a file each, and what ClickHouse is given of them, their SHA-256.

Containers run as users of their own and see the files as they are: so the files can be read by all, and their directory by its owner only.
"""

import hashlib
import os
import secrets
import sys
from pathlib import Path

PASSWORDS = ("clickhouse_password", "grafana_admin_password", "grafana_clickhouse_password")
USERS = {"backstop": "clickhouse_password", "grafana": "grafana_clickhouse_password"}  # ClickHouse user -> file of its password


def make(directory: Path) -> list[str]:
    """Make what is missing, and the users' file anew; returns the names of the passwords made. An existing password is never touched."""
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    made = [name for name in PASSWORDS if not (directory / name).exists()]
    for name in made:
        _write(directory / name, secrets.token_hex(24))
    digests = {user: hashlib.sha256((directory / name).read_bytes().strip()).hexdigest() for user, name in USERS.items()}
    users = "".join(f"<{user}><password_sha256_hex>{digest}</password_sha256_hex></{user}>" for user, digest in digests.items())
    _write(directory / "clickhouse_users.xml", f"<clickhouse><users>{users}</users></clickhouse>\n")
    return made


def _write(path: Path, text: str) -> None:
    beside = path.with_name(path.name + ".new")
    beside.write_text(text, encoding="utf-8")
    beside.chmod(0o644)
    os.replace(beside, path)


if __name__ == "__main__":
    place = Path(__file__).resolve().parent
    new = make(place)
    sys.stdout.write(f"{place}: {', '.join(new) or 'nothing'} made, {len(PASSWORDS) - len(new)} were there\n")
