"""From findings to annotated prompts."""
