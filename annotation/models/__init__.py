"""What people say: policies, conversations, labels.

Foreign keys point upstream only: policy <- conversations <- labels.
"""

from .conversations import Completion, Conversation, ConversationSet
from .labels import Label, LabelEvent
from .policy import Policy, PolicyVersion, Proposition

__all__ = [
    "Completion",
    "Conversation",
    "ConversationSet",
    "Label",
    "LabelEvent",
    "Policy",
    "PolicyVersion",
    "Proposition",
]
