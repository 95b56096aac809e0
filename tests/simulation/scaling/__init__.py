"""An app under load, and the autoscalers that are let loose on it."""
