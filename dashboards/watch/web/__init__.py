"""The page in a browser, made of NiceGUI's elements; everything that it needs is served from this machine."""
