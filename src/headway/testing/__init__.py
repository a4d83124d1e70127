"""What users' tests and Headway's own share."""
