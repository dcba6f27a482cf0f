"""A watch over days and saves: how soon it heeds one, and what it costs while nothing happens."""
