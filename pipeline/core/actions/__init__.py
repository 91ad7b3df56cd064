"""What is done about alerts: whom to tell, what to run."""
