"""Foreign SPARQL: asked of a snapshot, in a process of its own that can be ended, with limits on all it may take."""
