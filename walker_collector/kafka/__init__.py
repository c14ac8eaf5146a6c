"""The parts that the source and the destination `kafka` share: connection, and form of messages."""
