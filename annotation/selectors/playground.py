"""What follows from truths that are known in part: the class, why, and the constraints broken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rbr_app.rbr.constraints import Violation, violations
from rbr_app.rbr.policy import Policy
from rbr_app.rbr.rules import Explanation, explain, leaves


@dataclass(frozen=True)
class Toggle:
    """One proposition to be set. `missing` where its truth can still change the class."""

    key: str
    question: str
    value: str
    relevant: bool
    missing: bool
    broken: bool


@dataclass(frozen=True)
class Playground:
    """The state of a truth playground, and what it implies."""

    response_type: str
    toggles: tuple[Toggle, ...]
    explanation: Explanation
    violations: tuple[Violation, ...]

    @property
    def rest_is_set(self) -> bool:
        """Whether something is said of a proposition that the response type does not use."""
        return any(toggle.value and not toggle.relevant for toggle in self.toggles)


def playground(policy: Policy, response_type: str, truth: Mapping[str, bool | None]) -> Playground:
    """What `truth` implies for a response type; the propositions that matter to it come first."""
    explanation = explain(policy, response_type, truth)
    broken = violations(policy, truth)
    deciding = set(leaves(policy, response_type))
    at_fault = {key for violation in broken for key in violation.keys}
    toggles = [
        Toggle(
            key=item.key,
            question=item.question,
            value={True: "true", False: "false", None: ""}[truth.get(item.key)],
            relevant=item.key in deciding,
            missing=item.key in explanation.missing,
            broken=item.key in at_fault,
        )
        for item in policy.propositions
    ]
    toggles.sort(key=lambda toggle: not toggle.relevant)
    return Playground(response_type, tuple(toggles), explanation, tuple(broken))
