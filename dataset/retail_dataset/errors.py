class DataSetError(Exception):
    """A file of the data set cannot be used; the message says which one, why, and what to do."""
