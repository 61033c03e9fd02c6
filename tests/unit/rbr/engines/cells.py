"""Small conversations and grader prompts for the engines' tests."""

from __future__ import annotations

from rbr_app.rbr.conversations import Conversation, Message
from rbr_app.rbr.engines import Cell
from rbr_app.rbr.grader import GraderPrompt
from rbr_app.rbr.policy import PromptTemplate

TEMPLATE = PromptTemplate("{question}\n{conversation}\nLAST: {response}", "question_first")
APOLOGY = GraderPrompt("apology", "Is there an apology?", TEMPLATE)
REFUSAL = GraderPrompt("refusal", "Does it refuse?", TEMPLATE)


def conversation(completion: str, user: str = "Help me", response_type: str = "") -> Conversation:
    return Conversation((Message("user", user),), completion, response_type=response_type)


def cell(completion: str, prompt: GraderPrompt = APOLOGY, user: str = "Help me") -> Cell:
    return Cell(conversation(completion, user), prompt)
