"""Everything that writes annotation's rows: one verb, one transaction."""
