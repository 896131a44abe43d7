"""The inverters: optimisation, tuning of the generator, encoders alone, and chains of them."""
