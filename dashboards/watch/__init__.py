"""`tegu watch`: the views of a building's devices, live from the embedded store, in a browser or in a terminal."""
