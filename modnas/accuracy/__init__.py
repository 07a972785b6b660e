"""Where errors of architectures come from: training, surrogates, and what to evaluate."""
