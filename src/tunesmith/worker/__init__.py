"""What runs beside the user's code: trainables, the session, the worker processes."""
