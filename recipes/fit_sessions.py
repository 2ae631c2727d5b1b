"""Fits the shipped sessions: the default model and SAE on a task's built-in items.

    python recipes/fit_sessions.py TASK [JOURNAL]

Writes `saetask/assets/fits/TASK-HASH`. A run's `answers.jsonl` as journal saves asking again.
"""

import sys
from pathlib import Path

from saetask import Session
from saetask.saes.loading import assets_folder
from saetask.session import SessionConfig

if __name__ == "__main__":
    task, *journal = sys.argv[1:]
    config = SessionConfig(journal=Path(journal[0]) if journal else None)
    session = Session(task=task, config=config)
    print(session.fit(assets_folder() / "fits"))
