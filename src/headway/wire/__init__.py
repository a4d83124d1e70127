"""What goes over the bus: message values, their codecs and schemas, and the names of places."""
