"""Tools of the project itself, run by hand or by the Makefile; no part of the installed package."""
