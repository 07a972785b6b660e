"""The host's side of the agent: its archive, the frames it sends, whether a result can be true."""
