"""The drop-in name: ``import reworker.worker`` for workers written for re-worker."""
