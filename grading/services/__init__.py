"""Everything that writes grading's rows: one verb, one transaction."""
