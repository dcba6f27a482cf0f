"""One small module a verb: each has `run(options, settings, console) -> exit code`."""
