"""The method as plain Python: policies, rules, grader prompts, metrics.

It knows no web framework.
"""
