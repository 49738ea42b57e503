"""Verdicts of earlier runs that still stand: everything they depend on is what it was."""
