"""Sales files on the control side: how they are read, made, and answered for; what the jobs could not use."""
