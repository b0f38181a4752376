"""The gate: does a video model listen to the actions it is given? Asked of recordings alone."""
