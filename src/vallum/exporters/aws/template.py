"""A template in the making: its sections, the names in it, and what is said of the losses on the way."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from vallum.exporters.export import Answer, Kind
from vallum.exporters.yaml_text import Noted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vallum.config.model import Config
    from vallum.core.policy import Policy
    from vallum.exporters.features import Feature

WORDS = re.compile(r"[A-Za-z0-9]+")
LONGEST_ID = 80


@dataclass(slots=True)
class Template:
    """What is written so far.  Sections keep the order in which they are filled."""

    config: Config
    policy: Policy
    signed: bool = False  # callers sign (AWS_IAM), whatever the policy's authenticators are
    parameters: dict[str, Any] = field(default_factory=dict)
    conditions: dict[str, Any] = field(default_factory=dict)
    resources: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    special: dict[tuple[Feature, str], Answer] = field(default_factory=dict)
    _ids: dict[str, str] = field(default_factory=dict)

    def name(self, *words: str) -> str:
        """Return the logical id of what `words` name: the same words the same id, and others never."""
        whole = "\0".join(words)
        made = "".join([part[0].upper() + part[1:] for word in words for part in WORDS.findall(word)])[:LONGEST_ID]
        owner = self._ids.setdefault(made, whole)
        if owner != whole:
            made += sha256(whole.encode("utf-8", "surrogateescape")).hexdigest()[:6].upper()
            self._ids[made] = whole
        return made

    def add(
        self, name: str, kind: str, properties: dict[str, Any], comment: str = "", depends: Iterable[str] = ()
    ) -> str:
        """Add a resource, whose reason is `comment`, and return its logical id."""
        body: dict[str, Any] = {"Type": kind}
        needed = list(depends)
        if needed:
            body["DependsOn"] = needed
        body["Properties"] = properties
        self.resources[name] = Noted(body, comment) if comment else body
        return name

    def ask(self, name: str, description: str, **settings: Any) -> str:
        """Add a parameter, and return its name."""
        self.parameters[name] = {"Type": "String", "Description": description, **settings}
        return name

    def keep(self, feature: Feature, where: str) -> None:
        """Say that at this place a feature is kept, exactly."""
        self.special[feature, where] = Answer(None)

    def lose(self, feature: Feature, where: str, detail: str, remedy: str, kind: Kind = Kind.APPROXIMATE) -> None:
        """Say what becomes of a feature at this place; what is lost there twice is said once, the worse first."""
        said = self.special.get((feature, where))
        if said is not None and said.kind is not None and detail not in said.detail:
            worse = kind if said.kind is Kind.APPROXIMATE else said.kind
            self.special[feature, where] = Answer(worse, f"{said.detail}; {detail}", said.remedy)
        elif said is None or said.kind is None:
            self.special[feature, where] = Answer(kind, detail, remedy)
