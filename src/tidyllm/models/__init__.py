"""Models: steps from `Request` to `Response`, whichever provider answers."""
