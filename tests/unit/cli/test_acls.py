"""The rights of each role follow from the table of topics, and the documentation follows from both."""

import json
from pathlib import Path

import pytest

from streams.cli import main
from streams.commands.acls import ROLES, acls, table
from streams.topics import ACCOUNTS_READS, JOURNALS, POOLS_READS, TOPICS

DOC = Path(__file__).parents[3] / "docs" / "security.md"


def allowed(role: str, operation: str) -> set[str]:
    """Topics on which a role may do this, prefixes written out."""
    found = set()
    for acl in acls("d"):
        if acl.role == role and acl.resource == "topic" and operation in acl.operations:
            found |= {topic for topic in TOPICS if f"d.{topic}" == acl.name or (acl.is_prefix and f"d.{topic}".startswith(acl.name))}
    return found


def test_the_documentation_has_the_table_as_it_is() -> None:
    assert table("backstop") in DOC.read_text(encoding="utf-8")


def test_every_topic_has_exactly_one_role_that_writes_it() -> None:
    for topic in TOPICS:
        writers = [role for role in ROLES if topic in allowed(role, "Write")]
        assert len(writers) == 1, (topic, writers)


def test_decisions_are_written_by_the_engine_and_facts_by_the_exchange() -> None:
    assert "instructions" in allowed("engine", "Write")
    assert allowed("engine", "Write") & {"account-events", "marks", "corrections"} == set()
    assert allowed("exchange", "Write") == {"instruments", "pools", "marks", "account-events"}
    assert allowed("operator", "Write") == {"corrections"}
    assert allowed("auditor", "Write") == allowed("sink", "Write") == set()


def test_the_engine_reads_what_its_tasks_read_and_its_journals() -> None:
    assert allowed("engine", "Read") == {*ACCOUNTS_READS, *POOLS_READS, *JOURNALS.values()}


def test_no_role_has_a_right_on_the_cluster_or_on_another_deployment() -> None:
    for acl in acls("d"):
        assert acl.resource != "cluster"
        assert acl.name.startswith(("d.", "d-"))


def test_the_command_prints_them_for_scripts(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["topics", "acls", "--deployment", "prod", "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert document["deployment"] == "prod"
    assert {"role": "operator", "resource": "topic", "name": "prod.corrections", "is_prefix": False, "operations": ["Write"]} in document["acls"]
