"""A change of version: its record, its failure, its canary, and which versions an app is composed of meanwhile."""
