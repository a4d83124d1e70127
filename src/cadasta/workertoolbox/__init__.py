"""The drop-in name: ``cadasta.workertoolbox`` for workers written for the Cadasta system."""
