"""Inside: jobs, plans, schedules, events. Values in, values out."""
