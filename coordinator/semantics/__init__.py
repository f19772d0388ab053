"""What things, models and rounds are in RDF: from their messages and files to triples."""
