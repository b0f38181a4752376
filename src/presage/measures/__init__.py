"""What a result is worth: intervals, rank agreement, video metrics, calibration."""
