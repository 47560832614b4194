"""Who acts: every service takes a `Person` and checks the role itself, even while there is only one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ki67.errors import NotAllowed

Role = Literal["coordinator", "reader", "analyst"]
ROLES: tuple[Role, ...] = ("coordinator", "reader", "analyst")


@dataclass(frozen=True)
class Person:
    """A person by code, never by name. Coordinators add and score pictures, analysts read results,
    readers look at pictures and are shown no result."""

    code: str
    roles: frozenset[Role]


def local_person() -> Person:
    """The one person of an installation without sign-in: every role."""
    return Person(code="local", roles=frozenset(ROLES))


def require(person: Person, *roles: Role, doing: str) -> None:
    """Lets pass who has one of the roles.

    Args:
        doing: what is asked for, as it stands in the sentence ("score pictures").

    Raises:
        NotAllowed: the person has none of them.
    """
    if not person.roles.intersection(roles):
        raise NotAllowed(f"{person.code} may not {doing}: ask a person with the role {' or '.join(roles)}.")
