"""One hash over anything JSON-able: what tasks, jobs, recipes and runs are named by."""

import hashlib
import json
from typing import Any


def digest(value: Any) -> str:
    """sha256 over canonical JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def job_id(*parts: object) -> str:
    """A job's or a task's id: hash of all that decides its output."""
    return digest(parts)[:20]
