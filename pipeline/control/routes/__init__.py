"""The routes, and how requests and answers are formed."""
