"""What a worker does with a message: `pipeline` takes it through the six steps. Start there."""
