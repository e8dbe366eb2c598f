"""In place of Figures 9 and 10: what the time model says where the paper measured hardware."""

from __future__ import annotations

import numpy as np

from paper.settings import FAST, HANDLING_SECONDS, INPUT_TOKENS, OUTPUT_TOKENS, SIMULATED_MODEL, SIMULATED_WORK, SLOW
from paper.study import Outcome, Row, Study, panels
from routing.plan.hardware import block_time

POINTS = 21


def make(study: Study) -> Outcome:
    rtt = float(np.median(study.inputs.rtts))
    rows: list[Row] = []
    figure = panels(3)
    sweeps = (
        ("blocks", np.linspace(1, SIMULATED_MODEL.blocks, POINTS)),
        ("input tokens", np.linspace(100, 2 * INPUT_TOKENS, POINTS)),
        ("output tokens", np.linspace(1, 10 * OUTPUT_TOKENS, POINTS)),
    )
    for axes, (varied, values) in zip(figure.axes, sweeps, strict=True):
        for kind in (FAST, SLOW):
            first = len(rows)
            for value in values.tolist():
                blocks = value if varied == "blocks" else 1.0
                input_tokens = value if varied == "input tokens" else float(INPUT_TOKENS)
                output_tokens = value if varied == "output tokens" else float(OUTPUT_TOKENS)
                compute = blocks * block_time(kind.device, SIMULATED_WORK).seconds(input_tokens, output_tokens)
                rows.append(
                    {
                        "varied": varied,
                        "value": value,
                        "device": kind.name,
                        "compute_seconds": compute,
                        "comm_seconds": output_tokens * (rtt + HANDLING_SECONDS),
                    }
                )
            axes.plot(values, [row["compute_seconds"] for row in rows[first:]], label=f"computation, {kind.name}")
        axes.plot(values, [row["comm_seconds"] for row in rows[first:]], "k--", label="communication")
        axes.set(xlabel=varied, ylabel="seconds per job and server")
        axes.legend(fontsize=8)
    lengths = f"{INPUT_TOKENS} input and {OUTPUT_TOKENS} output tokens"
    study.write("fig9_10", rows, figure, f"Model, not measurement; else 1 block, {lengths}; median RTT")
    return Outcome(
        "Figures 9 and 10: times of the model",
        (),
        "The paper profiles real GPUs, which is not done here. The plot shows what the simulations assume instead: "
        "computation τp = t_o + tI·l_in + tO·(l_out-1) for each block, and one round trip and its handling for each "
        "output token, as in the trace setting (the simulation setting counts one round trip for a whole job, as the "
        "paper does).",
    )
