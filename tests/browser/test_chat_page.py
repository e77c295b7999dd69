"""The chat in a real browser: asking, streaming, stopping, coming back, teaching, choosing, finding."""
