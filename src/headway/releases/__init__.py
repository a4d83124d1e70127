"""How releases are carried out: whose attempts are granted, what answers mean."""
