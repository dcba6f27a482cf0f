"""What a watch does, shown over HTTP: a page, its data, health and metrics. Nothing is taken."""
