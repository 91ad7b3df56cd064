"""Who asks, and what they may."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

__all__ = ["EVERYBODY", "Principal", "Role", "Tenants", "role_of"]

Tenants = frozenset[str] | None
"""The ns_ids that somebody sees and edits; None: all of them, and what belongs to none."""

EVERYBODY: Final[Tenants] = None


class Role(IntEnum):
    """What somebody may do; each may what those before it may."""

    VIEWER = 1
    """Read."""
    OPERATOR = 2
    """Edit policies, scenarios, silences and maintenance; acknowledge and comment."""
    ADMIN = 3
    """Edit channels and scripts, and what runs scripts."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who has shown who they are."""

    name: str
    role: Role
    tenants: Tenants

    def sees(self, ns_id: str | None) -> bool:
        """Return whether what belongs to a namespace, or to the platform (None), is theirs."""
        return self.tenants is None or (ns_id is not None and ns_id in self.tenants)


def role_of(name: object) -> Role:
    """Return a role by its name in small letters.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    roles = {role.name.lower(): role for role in Role}
    if not isinstance(name, str) or name not in roles:
        raise ValueError(f"must be one of {', '.join(roles)}")
    return roles[name]
