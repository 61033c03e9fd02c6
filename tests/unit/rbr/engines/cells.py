"""Small conversations, propositions and policies for the engines' tests."""

from __future__ import annotations

from rbr_app.rbr.conversations import Conversation, Message
from rbr_app.rbr.engines import Cell
from rbr_app.rbr.policy import Policy, PromptTemplate, Proposition

TEMPLATE = PromptTemplate("{question}\n{conversation}\nLAST: {response}", "question_first")
APOLOGY = Proposition("apology", "Is there an apology?")
REFUSAL = Proposition("refusal", "Does it refuse?")

POLICY = Policy(
    propositions=(APOLOGY, REFUSAL),
    derived={},
    completion_classes={},
    class_order=(),
    template=TEMPLATE,
)


def conversation(completion: str, user: str = "Help me", response_type: str = "") -> Conversation:
    return Conversation((Message("user", user),), completion, response_type=response_type)


def cell(completion: str, proposition: Proposition = APOLOGY, user: str = "Help me") -> Cell:
    return Cell(conversation(completion, user), proposition)
