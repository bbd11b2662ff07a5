"""For tests and benches: daemons of their own on loopback, files in many forms, a batch that stops where one wants."""
