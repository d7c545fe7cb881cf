"""One predictor for everybody, and a small file per person."""
