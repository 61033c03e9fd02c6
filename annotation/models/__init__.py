"""What people say: policies, conversations, labels.

Foreign keys point upstream only: policy <- conversations <- labels <- adjudication, gold <- queues.
"""

from .adjudication import Adjudication, DefinitionFlag
from .conversations import Completion, Conversation, ConversationSet
from .gold import GoldTruth, GoldVersion, GoldVersionRow
from .labels import CompletionNote, Label, LabelEvent, Reveal
from .policy import DefinitionChange, Policy, PolicyDraft, PolicyVersion, Proposition
from .queues import Assignment, LabellingQueue, Prelabel, QueueSlot

__all__ = [
    "Adjudication",
    "Assignment",
    "Completion",
    "CompletionNote",
    "Conversation",
    "ConversationSet",
    "DefinitionChange",
    "DefinitionFlag",
    "GoldTruth",
    "GoldVersion",
    "GoldVersionRow",
    "Label",
    "LabelEvent",
    "LabellingQueue",
    "Policy",
    "PolicyDraft",
    "PolicyVersion",
    "Prelabel",
    "Proposition",
    "QueueSlot",
    "Reveal",
]
