"""Disjoint sets: which things must stay together. Belongs here: the structure only; why things belong together is splits'."""

from collections.abc import Iterable


class UnionFind:
    """Groups of names, joined pair by pair."""

    def __init__(self, names: Iterable[str]) -> None:
        """Every name starts as its own group."""
        self._parent = {name: name for name in names}

    def find(self, name: str) -> str:
        """The group's representative: its smallest name, so the order of joins does not matter."""
        root = name
        while self._parent[root] != root:
            root = self._parent[root]
        while self._parent[name] != root:
            self._parent[name], name = root, self._parent[name]
        return root

    def join(self, one: str, other: str) -> None:
        """Put two names and all that belongs to them into one group."""
        low, high = sorted((self.find(one), self.find(other)))
        self._parent[high] = low

    def groups(self) -> dict[str, list[str]]:
        """Members by representative, both sorted."""
        members: dict[str, list[str]] = {}
        for name in sorted(self._parent):
            members.setdefault(self.find(name), []).append(name)
        return members
