"""Errors whose message is for a human."""


class JobError(Exception):
    """The job cannot go on; the message is one sentence that says what to do."""

    heals = False
    """Whether a later attempt may succeed without anybody's help."""


class TemporaryError(JobError):
    """The job cannot go on now; a later attempt may succeed without anybody's help."""

    heals = True
