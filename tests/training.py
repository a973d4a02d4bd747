"""Training for tests: on the CPU, and Lightning keeps quiet."""

import logging
from typing import Any

import lightning


def quiet_trainer(**limits: Any) -> lightning.Trainer:
    """Return a trainer that says, shows and keeps nothing. `limits` are Lightning's, such as `max_steps`."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    return lightning.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **limits,
    )
