"""What we compute: graders, their runs, their grades.

Foreign keys point upstream only: annotation <- graders <- runs <- grades.
"""

from .graders import Grader, GraderProbe, GraderVersion
from .runs import Grade, GraderRun, GradingAttempt, GradingBatch

__all__ = [
    "Grade",
    "Grader",
    "GraderProbe",
    "GraderRun",
    "GraderVersion",
    "GradingAttempt",
    "GradingBatch",
]
