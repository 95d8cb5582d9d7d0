"""What is compared: one file a family, readable top to bottom beside its paper."""
