"""Items, prompts, samples and corpora: what is asked and what is read."""
