"""Run folders that no run made: quick to write, and with whatever a test needs in them."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

COLUMNS = (
    "step,tokens,seconds,train/loss,train/causal_lm/loss,train/causal_lm/targets,learning_rate,gradient_norm,"
    "tokens_per_second,mfu,validation/loss,validation/causal_lm/loss,validation/causal_lm/accuracy"
)
CONFIG = """\
name: {name}
seed: 0
model: {{kind: decoder, dim: 32, num_layers: 3, num_heads: 4, vocab_size: null, positions: {positions}}}
tokenizer: {{kind: bytes, special_tokens: gpt}}
data: {{source: {{kind: text, path: books}}, validation_fraction: 0.05}}
objectives: {{causal_lm: {{kind: causal_lm}}}}
trainer: {{max_steps: {steps}}}
"""
TEXT = {
    "training": {"documents": 900, "tokens": 120000, "lengths": [3, 20, 90, 400, 2000]},
    "held_out": {"documents": 50, "tokens": 6000, "lengths": [4, 21, 88, 380, 1500]},
    "counted_tokens": 120000,
    "vocabulary": 257,
    "used": 180,
    "entropy": 3.1,
    "held_out_cross_entropy": 3.15,
    "unseen_share": 0.0001,
    "frequent": [["\N{OPEN BOX}", 0.17], ["e", 0.1], ["t", 0.08], ["</script><b>", 0.01]],
    "excerpt": [84, 104, 101, 32, 99, 97, 116],
}


def made_up_run(folder: Path, *, steps: int = 400, finished: bool = True, positions: str = "rotary") -> Path:
    """A folder as a run of a decoder leaves it, without checkpoints."""
    folder.mkdir(parents=True)
    draw = random.Random(folder.name)
    lines = [COLUMNS]
    for step in range(1, steps + 1, 2):
        loss = 2.2 + 3.4 * math.exp(-step / 60) + draw.gauss(0, 0.06)
        validation = f"{loss + 0.1:.5g},{loss + 0.1:.5g},{1 / loss:.4g}" if step % 40 == 1 else ",,"
        lines.append(
            f"{step},{step * 1024},{step * 0.31:.5g},{loss:.5g},{loss:.5g},1000,{1e-3 * min(1, step / 50):.4g},"
            f"{draw.uniform(0.4, 1.6):.4g},{draw.uniform(3000, 3400):.5g},{draw.uniform(0.3, 0.34):.3g},{validation}"
        )
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    config = CONFIG.format(name=folder.name, positions=positions, steps=steps)
    (folder / "config.yaml").write_text(config, encoding="utf-8")
    (folder / "data.json").write_text(json.dumps(TEXT), encoding="utf-8")
    environment = {"python": "3.11", "packages": {"torch": "2.13"}, "imports": [], "threads": 2, "devices": ["cpu"]}
    (folder / "environment.json").write_text(json.dumps(environment), encoding="utf-8")
    if finished:
        (folder / "result.json").write_text(json.dumps({"steps": steps}), encoding="utf-8")
    return folder


HOSTILE = (
    "</script><script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "<style>body{display:none}</style>",
    "\" onmouseover=\"document.title='owned'\" '",
    "</blockquote></section></main><h1 id=injected>injected</h1>",
    "<!-- ]]> &lt;b&gt; \x00\x07\x1b[31m \ud800 \u202eright to left",
)
"""What samples may hold."""


def add_samples(folder: Path) -> None:
    """Samples of two steps, all of HOSTILE among them."""
    rows = [{"step": 200, "prompt": "Once", "output": "upon a time"}]
    rows += [{"step": 400, "prompt": text, "output": text[::-1] + text, "truth": text} for text in HOSTILE]
    rows.append({"step": 400, "prompt": "a line\u2028separator", "output": "is no end of a line of JSON"})
    lines = [json.dumps(row, ensure_ascii="\ud800" in row["output"]) for row in rows]
    (folder / "samples.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
