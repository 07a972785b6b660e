"""What crosses between host and agent: frames, requests, and the inputs that both make by a formula."""
