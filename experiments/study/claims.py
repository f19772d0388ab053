"""The claims of the papers' abstracts and our own goals, each as one sentence with its figure: held, or not.

TinyReptile (arXiv 2304.05201): "a resource reduction and training time saving by at least two factors compared with
baseline algorithms with comparable performance". TinyMetaFed (2307.06822): it can "significantly reduce energy consumption
and communication overhead, accelerate convergence, and stabilize the training process", without a number: the numbers are
our goals. A sentence is made from the rows alone, so it cannot say more than the table.
"""

from collections.abc import Sequence

from experiments.results import bytes_text, joules_text

from .studies import Study
from .tables import Row, score_text

Found = dict[str, Row]


def sentences(study: Study, rows: Sequence[Row], lower_is_better: bool) -> list[str]:
    """What the table of this study says about each claim."""
    found = {row.label: row for row in rows}
    return [
        *_tinyreptile(found),
        *_tinymetafed(study, found, lower_is_better),
        *_references(study, found, lower_is_better),
    ]


def _verdict(held: bool) -> str:
    return "**held**" if held else "**not held**"


def _tinyreptile(found: Found) -> list[str]:
    ours, batch = found.get("tinyreptile"), found.get("reptile")
    if ours is None or batch is None:
        return []
    memory = batch.algorithm_bytes / ours.algorithm_bytes
    whole = batch.device_bytes / ours.device_bytes
    lines = [
        f"TinyReptile takes at least 2 times less memory to learn than batch Reptile: {memory:.1f} times "
        f"({bytes_text(ours.algorithm_bytes)} against {bytes_text(batch.algorithm_bytes)}; with all that our session keeps "
        f"beside it {whole:.1f} times): {_verdict(memory >= 2)}."
    ]
    if ours.target is None or batch.target is None:
        who = " and ".join(row.title for row in (ours, batch) if row.target is None)
        return [
            *lines,
            f"TinyReptile at least 2 times less compute: not comparable, the target is not reached by {who}.",
        ]
    times = batch.target.steps / ours.target.steps
    return [
        *lines,
        f"TinyReptile at least 2 times less compute on the device to the target: {times:.1f} times "
        f"({ours.target.steps:,.0f} against {batch.target.steps:,.0f} samples gone through): {_verdict(times >= 2)}.",
    ]


def _tinymetafed(study: Study, found: Found, lower_is_better: bool) -> list[str]:
    ours, dense = found.get("tinymetafed"), found.get("reptile")
    if ours is None or dense is None:
        return []
    if ours.target is None or dense.target is None:
        who = " and ".join(row.title for row in (ours, dense) if row.target is None)
        return [f"TinyMetaFed against dense Reptile: not comparable, the target is not reached in every run by {who}."]
    fewer = dense.target.both / ours.target.both
    energy = dense.target.joules / ours.target.joules
    spread, other = (row.curve[study.target_samples].spread for row in (ours, dense))
    steadier = "not known of one seed" if spread != spread else _verdict(spread <= other) + ", a rough figure"
    return [
        f"TinyMetaFed at least 10 times fewer bytes than Reptile in dense float32 both ways, to the target: {fewer:.1f} times "
        f"({bytes_text(ours.target.both)} against {bytes_text(dense.target.both)}): {_verdict(fewer >= 10)}.",
        f"At least 4 times less modelled energy on the device, BLE: {energy:.1f} times ({joules_text(ours.target.joules)} "
        f"against {joules_text(dense.target.joules)}): {_verdict(energy >= 4)}.",
        f"In no more rounds: {ours.target.rounds:.1f} against {dense.target.rounds:.1f}: "
        f"{_verdict(ours.target.rounds <= dense.target.rounds)}.",
        f"With a smaller spread over the seeds at {study.target_samples} samples, at the end: "
        f"{score_text(spread, lower_is_better)} against {score_text(other, lower_is_better)}: {steadier}.",
    ]


def _references(study: Study, found: Found, lower_is_better: bool) -> list[str]:
    ours = found.get("tinymetafed")
    lines = []
    for label, name in (
        ("scratch", "learning from scratch at its best step"),
        ("pooled", "pooled training, fine-tuned"),
    ):
        other = found.get(label)
        if ours is None or other is None:
            continue
        at = study.target_samples
        mine, theirs = ours.curve[at].mean, other.curve[at].mean
        better = mine < theirs if lower_is_better else mine > theirs
        lines.append(
            f"Beside {name}, after {at} samples: {score_text(mine, lower_is_better)} against "
            f"{score_text(theirs, lower_is_better)}: TinyMetaFed is {'better' if better else 'not better'}."
        )
    return lines
