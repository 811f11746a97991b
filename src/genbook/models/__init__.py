"""The generative models: one file a family, and in it all of the family."""
