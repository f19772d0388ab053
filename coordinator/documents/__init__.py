"""Thing Descriptions as documents: who may change what, and what stands in the graph of each."""
