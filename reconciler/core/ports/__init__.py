"""What the engine asks of the outside world, one Protocol for each system we live between.

The engine knows adapters by these alone; `cli` is the one place that joins the two. Each method
says what it raises, in our own words (`reconciler.errors`); an adapter never lets a foreign
exception through.
"""
