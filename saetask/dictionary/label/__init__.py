"""Labels features with labeler plugins, and writes the dictionary folder."""
