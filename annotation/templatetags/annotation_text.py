"""How texts and classes are shown."""

from __future__ import annotations

from datetime import datetime

from django import template
from django.utils.html import format_html_join
from django.utils.safestring import SafeString, mark_safe

from annotation.models import Completion
from rbr_app.rbr.policy import Policy

register = template.Library()


@register.filter
def last_user_turn(completion: Completion) -> str:
    """The message that the completion answers."""
    return completion.conversation.turns[-1].content


@register.filter
def rank(policy: Policy, completion_class: str) -> int:
    """The place of a class in its policy's order, 0 is best; the pages colour classes by it."""
    order = policy.class_order
    return order.index(completion_class) if completion_class in order else len(order)


@register.filter
def words(key: str) -> str:
    """A key for reading: ``hard_refusal`` as ``hard refusal``."""
    return key.replace("_", " ")


@register.filter
def breakable(key: str) -> SafeString:
    """A key that may break after its underscores and nowhere else; escaped first."""
    return format_html_join(mark_safe("_<wbr>"), "{}", ((part,) for part in key.split("_")))


@register.filter
def epoch_ms(moment: datetime) -> int:
    """A moment as scripts count it: milliseconds since 1970."""
    return int(moment.timestamp() * 1000)
