"""Pages of grading, and the dashboard, which looks at the whole chain."""
