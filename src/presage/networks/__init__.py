"""What predicts: `transformer.py`, the video-action transformer behind every use."""
