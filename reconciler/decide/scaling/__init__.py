"""How many replicas an app should have: a recommendation, its guards, and the words for both."""
