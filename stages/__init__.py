"""The steps: one thin module per DVC stage."""
