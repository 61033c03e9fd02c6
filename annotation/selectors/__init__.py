"""Reads annotation's rows, each function shaped for one page or one kernel call."""
