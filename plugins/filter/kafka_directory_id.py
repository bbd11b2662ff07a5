"""Ids of Kafka's log folders that follow from a cluster and a node, so that all controllers are told the same."""

from __future__ import annotations

import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable

# Any fixed UUID will do; the ids of folders that exist were made in this one.
NAMESPACE = uuid.UUID("b7a3c9e2-6f0d-4c55-9f6c-0e2b8d1a7c44")


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[[str], str]]:
        """The filters of this file by name."""
        return {"kafka_directory_id": directory_id}


def directory_id(node: str) -> str:
    """An id as Kafka writes it: 16 bytes in URL-safe base64 without padding, 22 characters.

    Args:
        node: What names the folder in all the world, such as `<cluster id>/<node id>`.

    Returns:
        The same id for the same name. None begins with a hyphen, which Kafka's tools would take for an option.
    """
    made = uuid.uuid5(NAMESPACE, node)
    while (text := urlsafe_b64encode(made.bytes).decode().rstrip("=")).startswith("-"):
        made = uuid.uuid5(NAMESPACE, text)
    return text
