"""Sources: plugins that bring events in from outside, through the same door as `push`."""
