"""Rows and texts for tests: a tiny policy, and factories for every model.

Rows that a factory makes are consistent: fingerprints are the kernel's, a version's propositions
exist, and the fake grader's facts are the ones that it reports of itself.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import factory
from django.contrib.auth.models import User
from factory.django import DjangoModelFactory

from annotation import models as annotation
from annotation.models.labels import Answer
from annotation.services.gold_truths import refresh_gold_truths
from grading import models as grading
from rbr_app.rbr.conversations import fingerprint
from rbr_app.rbr.engines import EngineConfig
from rbr_app.rbr.engines.fake import FakeEngine
from rbr_app.rbr.policy import Policy
from rbr_app.rbr.policy_files import read_policy

TINY = """\
format: rbr-policy/1
name: tiny
title: Tiny policy
content_areas:
  talk:
    title: Talk
    categories:
      chat: {title: Chat, response_type: comply}
      trick: {title: Trick, response_type: refuse}
response_types:
  comply: {title: Comply}
  refuse: {title: Refuse}
prompt:
  order: question_first
  template: |-
    {question}
    {examples}
    {conversation}
    {response}
propositions:
  helps: {question: "Does it help?"}
  rude: {question: "Is it rude?"}
  cites: {question: "Does it cite a source?"}
derived_propositions:
  kind_help: {helps: true, rude: false}
class_order: [ideal, poor, rude_completion]
completion_classes:
  ideal:
    comply: {kind_help: true}
    refuse: {helps: false, rude: false}
  poor:
    comply: {helps: false, rude: false}
    refuse: {kind_help: true}
  rude_completion:
    comply: {rude: true}
    refuse: {rude: true}
"""
"""Three propositions, of which `cites` is used in no class; two response types, three classes."""

KEYS = ("helps", "rude", "cites")


def tiny(old: str = "", new: str = "") -> str:
    """The tiny policy's file, with its text `old` replaced by `new` everywhere."""
    assert old in TINY
    return TINY.replace(old, new) if old else TINY


def tiny_policy(old: str = "", new: str = "") -> Policy:
    return read_policy(tiny(old, new))


class UserFactory(DjangoModelFactory[User]):
    class Meta:
        model = User

    username = factory.Sequence(lambda n: f"person-{n}")


class PolicyFactory(DjangoModelFactory[annotation.Policy]):
    """A policy line with one version of the tiny policy."""

    class Meta:
        model = annotation.Policy
        skip_postgeneration_save = True

    name = factory.Sequence(lambda n: f"policy_{n}")
    version = factory.RelatedFactory(
        "tests.factories.PolicyVersionFactory", factory_related_name="policy"
    )


class PolicyVersionFactory(DjangoModelFactory[annotation.PolicyVersion]):
    class Meta:
        model = annotation.PolicyVersion
        skip_postgeneration_save = True

    policy = factory.SubFactory(PolicyFactory, version=None)
    number = 1
    source = TINY
    document = factory.LazyAttribute(lambda row: read_policy(row.source).as_document())
    fingerprint = factory.LazyAttribute(lambda row: fingerprint(row.document))

    @factory.post_generation
    def propositions(self: annotation.PolicyVersion, create: bool, *_: Any, **__: Any) -> None:
        for row in self.document["propositions"]:
            annotation.Proposition.objects.get_or_create(policy=self.policy, key=row["key"])


class ConversationSetFactory(DjangoModelFactory[annotation.ConversationSet]):
    class Meta:
        model = annotation.ConversationSet

    name = factory.Sequence(lambda n: f"set-{n}")
    policy = factory.SubFactory(PolicyFactory)


class ConversationFactory(DjangoModelFactory[annotation.Conversation]):
    class Meta:
        model = annotation.Conversation

    conversation_set = factory.SubFactory(ConversationSetFactory)
    split = "test"
    category = "chat"
    response_type = "comply"
    prompt = factory.Sequence(lambda n: [{"role": "user", "content": f"Question {n}?"}])
    prompt_fingerprint = factory.LazyAttribute(
        lambda row: fingerprint([[turn["role"], turn["content"]] for turn in row.prompt])
    )


class CompletionFactory(DjangoModelFactory[annotation.Completion]):
    class Meta:
        model = annotation.Completion

    conversation = factory.SubFactory(ConversationFactory)
    text = factory.Sequence(lambda n: f"Answer {n}.")
    fingerprint = factory.LazyAttribute(
        lambda row: fingerprint([row.conversation.prompt_fingerprint, row.text])
    )


class LabelFactory(DjangoModelFactory[annotation.Label]):
    """An imported label unless an annotator is given; `key` names the proposition."""

    class Meta:
        model = annotation.Label
        exclude = ("key",)

        skip_postgeneration_save = True

    key = "helps"
    completion = factory.SubFactory(CompletionFactory)
    proposition = factory.LazyAttribute(lambda row: proposition(row.completion, row.key))
    annotator = None
    answer = Answer.TRUE
    policy_version = factory.LazyAttribute(
        lambda row: row.completion.conversation.conversation_set.policy.latest
    )

    @factory.post_generation
    def gold_truth(self: annotation.Label, create: bool, *_: Any, **__: Any) -> None:
        refresh_gold_truths([self.completion_id], [self.proposition_id])


def proposition(completion: annotation.Completion, key: str) -> annotation.Proposition:
    policy = completion.conversation.conversation_set.policy
    return annotation.Proposition.objects.get(policy=policy, key=key)


def latest_version(completion: annotation.Completion) -> annotation.PolicyVersion:
    return completion.conversation.conversation_set.policy.latest


def fill(
    conversation_set: annotation.ConversationSet, split: str, n: int, labelled: bool = False
) -> list[annotation.Completion]:
    """`n` new completions in a split, each of a prompt of its own.

    If `labelled`, every second one helps, every third is rude, and none cites.
    """
    rows = [
        CompletionFactory(
            conversation__conversation_set=conversation_set, conversation__split=split
        )
        for _ in range(n)
    ]
    if labelled:
        for index, row in enumerate(rows):
            truths = {"helps": index % 2 == 0, "rude": index % 3 == 0, "cites": False}
            for key, truth in truths.items():
                LabelFactory(completion=row, key=key, answer=Answer.of(truth))
    return rows


def fake_config(**settings: Any) -> EngineConfig:
    return EngineConfig("fake", settings=settings)


class GraderFactory(DjangoModelFactory[grading.Grader]):
    class Meta:
        model = grading.Grader

    name = factory.Sequence(lambda n: f"grader-{n}")


class GraderVersionFactory(DjangoModelFactory[grading.GraderVersion]):
    """A fake grader; `settings` are the fake engine's."""

    class Meta:
        model = grading.GraderVersion
        exclude = ("settings",)

    settings: Any = {}
    grader = factory.SubFactory(GraderFactory)
    number = 1
    config = factory.LazyAttribute(lambda row: asdict(fake_config(**row.settings)))
    facts = factory.LazyAttribute(lambda row: FakeEngine(EngineConfig(**row.config)).probe().facts)
    fingerprint = factory.LazyAttribute(lambda row: fingerprint([row.config, row.facts]))


class GraderProbeFactory(DjangoModelFactory[grading.GraderProbe]):
    class Meta:
        model = grading.GraderProbe

    grader = factory.SubFactory(GraderFactory)
    config = factory.LazyFunction(lambda: asdict(fake_config()))


class GraderRunFactory(DjangoModelFactory[grading.GraderRun]):
    """A run without batches; `start_run` makes those."""

    class Meta:
        model = grading.GraderRun
        skip_postgeneration_save = True

    grader_version = factory.SubFactory(GraderVersionFactory)
    conversation_set = factory.SubFactory(ConversationSetFactory)
    policy_version = factory.LazyAttribute(lambda row: row.conversation_set.policy.latest)
    split = "test"
    fingerprint = factory.Sequence(lambda n: f"{n:064x}")

    @factory.post_generation
    def propositions(self: grading.GraderRun, create: bool, *_: Any, **__: Any) -> None:
        rows = annotation.Proposition.objects.filter(policy=self.conversation_set.policy)
        self.propositions.set(rows)


class GradingBatchFactory(DjangoModelFactory[grading.GradingBatch]):
    class Meta:
        model = grading.GradingBatch

    run = factory.SubFactory(GraderRunFactory)
    ordinal = factory.Sequence(lambda n: n)
    cells = factory.LazyFunction(list)
    n_cells = factory.LazyAttribute(lambda row: len(row.cells))


class GradeFactory(DjangoModelFactory[grading.Grade]):
    class Meta:
        model = grading.Grade

    run = factory.SubFactory(GraderRunFactory)
    p = 0.5
    mass = 0.9
