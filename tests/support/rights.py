"""Giving rights on a broker: its own tool is not among the broker's jars, so the request is sent as the tool would send it."""

from collections.abc import Iterable

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest

from streams.commands.acls import Acl

RESOURCES = {"topic": 2, "group": 3, "cluster": 4, "transactional-id": 5}
OPERATIONS = {"Read": 3, "Write": 4, "Create": 5, "Describe": 8, "DescribeConfigs": 10}
LITERAL, PREFIXED, ALLOW = 3, 4, 3


async def give(bootstrap: str, acls: Iterable[Acl]) -> None:
    """Each right to the user named like its role, as the anonymous user of `bootstrap`."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        for acl in acls:
            for operation in acl.operations:
                pattern = PREFIXED if acl.is_prefix else LITERAL
                request = CreateAclsRequest(RESOURCES[acl.resource], acl.name, pattern, f"User:{acl.role}", "*", OPERATIONS[operation], ALLOW)
                answer = await admin._send_request(request)
                assert all(created[0] == 0 for created in answer.creation_responses), answer
    finally:
        await admin.close()
