"""Writes the fingerprints of the default model and SAE into what saetask ships for them.

    python recipes/refresh_fingerprints.py [--check]

The dictionary's manifest gets the two fingerprints, and each folder of `saetask/assets/fits` the
name under which a session looks for it; nothing else is touched. Run it after a change of how
fingerprints are computed, or of what the name of a fit depends on, that leaves the model, the SAE
and the fits as they are. `--check` writes nothing and exits with 1 if something would change.
"""

import json
import sys
from pathlib import Path

from saetask import Session
from saetask.dictionary.dictionary import dictionary_folder
from saetask.dictionary.store import MANIFEST
from saetask.models.loading import load_model, model_fingerprint
from saetask.saes.loading import DEFAULT_SAE, assets_folder, load_sae, sae_fingerprint
from saetask.utils.files import write_text


def main(check: bool) -> int:
    """Returns the exit code."""
    model, sae = load_model(device="cpu"), load_sae(device="cpu")
    changes = []
    path = dictionary_folder(DEFAULT_SAE) / MANIFEST
    text = path.read_text(encoding="utf-8")
    manifest, renewed = json.loads(text), text
    for kind, fingerprint in (("model", model_fingerprint(model)), ("sae", sae_fingerprint(sae))):
        renewed = renewed.replace(manifest[kind]["fingerprint"], fingerprint)
    if renewed != text:
        changes.append(f"{path.name}: fingerprints")
        if not check:
            write_text(path, renewed)
    for folder in sorted((assets_folder() / "fits").iterdir()):
        task = folder.name.rpartition("-")[0]
        wanted = folder.with_name(Session(model, sae, task).pipeline_name())
        if wanted != folder:
            changes.append(f"{folder.name} -> {wanted.name}")
            if not check:
                Path(folder).rename(wanted)
    print("\n".join(changes) or "nothing to change")
    return int(check and bool(changes))


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
