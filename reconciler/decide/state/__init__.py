"""An observation folded into the state: what happened since the last tick, to apps and to replicas."""
