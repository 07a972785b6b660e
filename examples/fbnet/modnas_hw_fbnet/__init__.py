"""FBNet's search space for modnas-hw."""
