"""The explorer: a local page on which prompts are read, asked again, and judged by a reader."""
