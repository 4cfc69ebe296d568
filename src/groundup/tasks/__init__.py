"""Questions with their judge (`groundup.core.protocols.Task`): the same object is an evaluation and a reward."""
