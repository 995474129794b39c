"""What runs the services: configuration, topology, the runner (the only hot loop), the supervisor, the state
folder."""
