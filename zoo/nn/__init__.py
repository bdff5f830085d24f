"""The block library: one attention, one feed-forward, one residual wrapper, one stack. Pure torch."""
