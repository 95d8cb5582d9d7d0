"""Makes specs of runs from profiles, space files and what a user asks for."""
