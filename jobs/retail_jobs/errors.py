class JobError(Exception):
    """The job cannot go on; the message is one sentence that says what to do."""


class FinalError(JobError):
    """A restart would meet the same again."""
