"""Training: configuration, data, sampler, loop, checkpoints."""
