"""Public annotated volumes: cards that describe them, and how they are downloaded."""
