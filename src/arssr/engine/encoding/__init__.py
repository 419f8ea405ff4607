"""Features of an image, plane by plane."""
