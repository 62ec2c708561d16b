"""What the example scripts share: data, models and the training core."""
