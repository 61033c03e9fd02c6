"""Policy files that are refused, and what the refusal has to say."""

from __future__ import annotations

from tests.factories import TINY, tiny

CASES = {
    "a list in place of the file": ("- a", ["the file", "map"]),
    "an empty file": ("", ["the file", "map"]),
    "no YAML": ("a: [", ["not YAML", "line 1"]),
    "another format": (tiny("rbr-policy/1", "rbr-policy/9"), ["`format`", "rbr-policy/1"]),
    "a key twice": (
        tiny("  cites: {q", "  rude: {question: Again}\n  cites: {q"),
        ["'rude' stands twice", "line 23"],
    ),
    "a key twice inside a conjunction": (
        tiny("{helps: true, rude: false}", "{helps: true, helps: false}"),
        ["'helps' stands twice", "line 25"],
    ),
    "a number as a key": (tiny("  cites: {", "  7: {"), ["propositions", "map of names"]),
    "no proposition": (
        TINY[: TINY.index("propositions:")] + TINY[TINY.index("derived_prop") :],
        ["`propositions`"],
    ),
    "a proposition without a question": (
        tiny('{question: "Is it rude?"}', "{guideline: be strict}"),
        ["'rude'", "`question` is missing"],
    ),
    "a blank question": (
        tiny('{question: "Is it rude?"}', "{question: ' '}"),
        ["'rude'", "`question` is missing"],
    ),
    "a question that is a number": (
        tiny('{question: "Is it rude?"}', "{question: 7}"),
        ["rude", "`question`", "7"],
    ),
    "a key with capitals": (tiny("cites", "Cites"), ["'Cites'", "lower snake case"]),
    "a response type with a space": (
        tiny("  refuse: {title", "  no way: {title"),
        ["'no way'", "lower snake case"],
    ),
    "examples that are no list": (
        tiny('{question: "Is it rude?"}', "{question: Is it, examples: x}"),
        ["'rude'", "`examples`", "list"],
    ),
    "an example without an answer": (
        tiny('{question: "Is it rude?"}', "{question: R, examples: [{user: a, assistant: b}]}"),
        ["rude.examples[0]", "`answer`", "true or false"],
    ),
    "an answer in words": (
        tiny('{question: "Is it rude?"}', "{question: R, examples: [{answer: 'yes'}]}"),
        ["rude.examples[0]", "`answer`", "true or false"],
    ),
    "an unknown name in a derived proposition": (
        tiny("kind_help: {helps", "kind_help: {hopes"),
        ["derived_propositions.kind_help", "'hopes'"],
    ),
    "an unknown name in a class": (
        tiny("comply: {kind_help: true}", "comply: {kindness: true}"),
        ["completion_classes.ideal.comply", "'kindness'"],
    ),
    "derived propositions that use each other": (
        tiny("  kind_help: {helps", "  a: {helps: true, b: true}\n  b: {a: true}\n  kind_help: {h"),
        ["derived_propositions", "cycle: a → b → a"],
    ),
    "a derived proposition that uses itself": (
        tiny("kind_help: {helps", "kind_help: {kind_help: true, helps"),
        ["derived_propositions", "cycle: kind_help → kind_help"],
    ),
    "a polarity that is a word of its own": (
        tiny('{question: "Is it rude?"}', "{question: R, polarity: {comply: bad}}"),
        ["rude.polarity.comply", "desired, undesired, neutral", "'bad'"],
    ),
    "a polarity for an unknown response type": (
        tiny('{question: "Is it rude?"}', "{question: R, polarity: {shrug: desired}}"),
        ["propositions.rude.polarity", "'shrug'"],
    ),
    "an implication without a then": (
        TINY + "implications: [{if: {helps: true}}]\n",
        ["implications[0]", "`if`", "`then`"],
    ),
    "implications that are a map": (TINY + "implications: {a: b}\n", ["`implications`", "list"]),
    "an implication of an unknown name": (
        TINY + "implications: [{if: {helps: true}, then: {hopes: true}}]\n",
        ["implications[0]", "'hopes'"],
    ),
    "an implication of nothing": (
        TINY + "implications: [{if: {helps: true}, then: {}}]\n",
        ["implications[0].then", "empty"],
    ),
    "an implication twice": (
        TINY + "implications:\n" + "  - {if: {helps: true, rude: true}, then: {cites: true}}\n" * 2,
        ["implications[1]", "twice"],
    ),
    "an exclusion of an unknown name": (
        TINY + "exclusions: [[helps, hopes]]\n",
        ["exclusions[0]", "'hopes'"],
    ),
    "an exclusion that names one thing twice": (
        TINY + "exclusions: [[helps, helps]]\n",
        ["exclusions[0]", "twice"],
    ),
    "an exclusion of numbers": (TINY + "exclusions: [[1, 2]]\n", ["exclusions[0]", "names"]),
    "an empty exclusion": (TINY + "exclusions: [[]]\n", ["exclusions[0]", "empty"]),
    "a category in two areas": (
        tiny(
            "response_types:\n",
            "  walk: {categories: {chat: {response_type: comply}}}\nresponse_types:\n",
        ),
        ["categories", "'chat'", "twice"],
    ),
    "constraints that nothing can keep": (
        TINY + "exclusions: [{helps: true}, {helps: false}]\n",
        ["constraints", "helps; ¬helps"],
    ),
    "a derived proposition with the name of a proposition": (
        tiny("  kind_help: {helps", "  rude: {helps: true}\n  kind_help: {helps"),
        ["'rude'", "both a proposition and a derived"],
    ),
    "an empty conjunction": (
        tiny("comply: {kind_help: true}", "comply: {}"),
        ["completion_classes.ideal.comply", "empty"],
    ),
    "an empty derived proposition": (
        tiny("{helps: true, rude: false}\nclass", "{}\nclass"),
        ["derived_propositions.kind_help", "empty"],
    ),
    "a literal that is a word": (
        tiny("comply: {kind_help: true}", "comply: {kind_help: maybe}"),
        ["completion_classes.ideal.comply.kind_help", "true or false", "'maybe'"],
    ),
    "a literal that is a number": (
        tiny("comply: {kind_help: true}", "comply: {kind_help: 1}"),
        ["completion_classes.ideal.comply.kind_help", "true or false", "1"],
    ),
    "no class order": (tiny("class_order:", "class_ranks:"), ["`class_order`", "list"]),
    "a class order with a class twice": (
        tiny("[ideal, poor,", "[ideal, ideal, poor,"),
        ["`class_order`", "twice"],
    ),
    "a class order that lacks a class": (
        tiny("[ideal, poor,", "[ideal,"),
        ["class order", "poor"],
    ),
    "a class order with a class that is not defined": (
        tiny("[ideal, poor,", "[ideal, great, poor,"),
        ["class order", "great"],
    ),
    "a class for an unknown response type": (
        tiny("    comply: {kind_help: true}", "    complain: {kind_help: true}"),
        ["completion_classes.ideal.complain", "unknown response type"],
    ),
    "a category with an unknown response type": (
        tiny("response_type: refuse}", "response_type: shrug}"),
        ["content_areas.talk.categories.trick", "'shrug'"],
    ),
    "a category without a response type": (
        tiny("{title: Trick, response_type: refuse}", "{title: Trick}"),
        ["content_areas.talk.categories.trick", "response type"],
    ),
    "a template without the response": (
        tiny("    {response}\n", ""),
        ["prompt.template", "{response}"],
    ),
    "a template without the question": (
        tiny("    {question}\n", "    Hello\n"),
        ["prompt.template", "{question}"],
    ),
    "a template with the response twice": (
        tiny("    {response}\n", "    {response}\n    {response}\n"),
        ["prompt.template", "{response}", "twice"],
    ),
    "a template that is no text": (
        tiny(
            "  template: |-\n    {question}\n    {examples}\n    {conversation}\n    {response}",
            "  template: 7",
        ),
        ["prompt.template", "text"],
    ),
    "an unknown order": (tiny("question_first", "backwards"), ["prompt.order", "'backwards'"]),
    "no prompt": (tiny("prompt:\n", "prompts:\n"), ["`prompt`"]),
    "a title that is a list": (tiny("title: Tiny policy", "title: [a]"), ["`title`", "text"]),
    "a date that does not exist": (tiny("Tiny policy", "2023-13-45"), ["not YAML"]),
    "a NUL character in a text": (tiny("Tiny policy", '"a\\0b"'), ["`title`", "NUL"]),
    "half a surrogate pair in a text": (tiny("Tiny policy", '"\\ud800"'), ["`title`", "surrogate"]),
    "brackets without end": ("a: " + "[" * 50_000, ["not YAML", "too deep"]),
    "one response type spelled twice in a class": (
        tiny("    comply: {rude: true}\n", "    comply: {rude: true}\n    Comply: {helps: true}\n"),
        ["completion_classes.rude_completion", "comply", "twice"],
    ),
    "a key that no column can hold": (tiny("cites", "c" * 101), ["c" * 101, "100"]),
}
