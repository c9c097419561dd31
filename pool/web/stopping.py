"""Stopping a job, for the page and for the API alike."""

from __future__ import annotations

from typing import Any

from pool.web.here import audit, keypool


def stop_job(job: Any) -> bool:
    """Have it stop after the slice it is at; False where it is over. What is done stays done."""
    if not keypool().jobs.cancel(job.id):
        return False
    audit("job.cancel", f"job {job.id}", before={"kind": job.kind, "done": job.done, "total": job.total})
    return True
