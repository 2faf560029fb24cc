"""Trains gradient-boosted trees on the breast-cancer data; writes model.json and metrics.json."""

import json
import os

import xgboost
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.model_selection import train_test_split


class Progress(xgboost.callback.TrainingCallback):
    """Prints one line every ten rounds."""

    def after_iteration(self, model, epoch, evals_log):
        if (epoch + 1) % 10 == 0:
            loss = evals_log["heldout"]["logloss"][-1]
            print(f"round={epoch + 1} loss={loss:.4f}", flush=True)
        return False


def main():
    out = os.environ.get("FERRY_OUTPUTS") or "outputs"
    os.makedirs(out, exist_ok=True)
    data = load_breast_cancer()
    train_x, test_x, train_y, test_y = train_test_split(
        data.data, data.target, test_size=0.25, random_state=0, stratify=data.target
    )
    names = [name.replace(" ", "_") for name in data.feature_names]
    train = xgboost.DMatrix(train_x, train_y, feature_names=names)
    test = xgboost.DMatrix(test_x, test_y, feature_names=names)
    settings = {
        "objective": "binary:logistic",
        "eval_metric": "logloss",
        "max_depth": 3,
        "eta": 0.1,
        "subsample": 0.8,
        "seed": 0,
        "nthread": len(os.sched_getaffinity(0)),
    }
    model = xgboost.train(
        settings, train, num_boost_round=150, evals=[(test, "heldout")], verbose_eval=False, callbacks=[Progress()]
    )
    chances = model.predict(test)
    metrics = {
        "accuracy": accuracy_score(test_y, chances > 0.5),
        "auc": roc_auc_score(test_y, chances),
        "held_out": len(test_y),
    }
    model.save_model(os.path.join(out, "model.json"))
    with open(os.path.join(out, "metrics.json"), "w") as file:
        json.dump(metrics, file, indent=2)
    print(f"accuracy={metrics['accuracy']:.4f} auc={metrics['auc']:.4f}", flush=True)


if __name__ == "__main__":
    main()
