"""How well a task's right readings can be told, over grouped folds, without asking the model.

    python benchmarks/reading_probe.py TASK [ITEMS.jsonl]

Prints JSON: accuracy and area under the curve (macro, one-vs-rest) of a logistic regression
on the SAE's features (log(1 + largest activation), over the text and the parts of it that the task
names) and on n-grams of characters and of words.
"""

import json
import sys
from pathlib import Path

import numpy as np
from scipy.sparse import hstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline

from saetask import load_model, load_sae, read_features
from saetask.data.samples import make_samples
from saetask.plugins import PluginRegistry

if __name__ == "__main__":
    name, *data = sys.argv[1:]
    task = PluginRegistry().get("task", name)
    items = task.items(Path(data[0]) if data else None)
    questions = [q for q in make_samples(task, items) if q.gold_reading]
    prompts = [q.prompt for q in questions]
    labels = np.array([q.gold_reading for q in questions])
    groups = [q.item.group for q in questions]
    read = read_features(load_model(), load_sae(), prompts)
    regions = [name for name in prompts[0].spans if name != "target"]
    features = hstack([read.pooled(region).log1p() for region in regions]).tocsr()
    texts = [p.content[p.spans["text"].start : p.spans["text"].end] for p in prompts]
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    probes = {
        "sae": (LogisticRegression(C=0.01, max_iter=200), features),
        "characters": (make_pipeline(characters, LogisticRegression(C=10, max_iter=500)), texts),
        "words": (make_pipeline(words, LogisticRegression(C=10, max_iter=500)), texts),
    }
    folds = GroupKFold(5, shuffle=True, random_state=0)
    found: dict[str, object] = {"task": name, "n": len(labels), "groups": len(set(groups))}
    for kind, (probe, inputs) in probes.items():
        likely = cross_val_predict(
            probe, inputs, labels, groups=groups, cv=folds, method="predict_proba"
        )
        classes = np.unique(labels)
        scores = likely[:, 1] if len(classes) == 2 else likely
        found[kind] = {
            "accuracy": float((classes[likely.argmax(1)] == labels).mean()),
            "auroc": float(roc_auc_score(labels, scores, multi_class="ovr")),
        }
    print(json.dumps(found, indent=2))
