"""What is done about alerts: whom to notify, what to run."""
