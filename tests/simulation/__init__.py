"""Simulated worlds that the project's own decisions are driven through."""
