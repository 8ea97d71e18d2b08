"""What is held, what of it is good, and what news does to it. No I/O in here: time is an argument, calls are yielded."""
