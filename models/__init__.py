"""What we learned: feature vector to calibrated score."""
