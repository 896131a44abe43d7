"""Small weights and tables that ganvert ships for its default generator; README.md here says how each was made."""
