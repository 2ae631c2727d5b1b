"""Models, SAEs, tasks and files that several tests share."""
