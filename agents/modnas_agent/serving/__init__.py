"""The agent's side of a session: the loop, the job under way, and the processes it is given to."""
