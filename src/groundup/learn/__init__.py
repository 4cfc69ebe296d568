"""The roadmap as software: where a learner stands, what comes next, and what they have shown."""
