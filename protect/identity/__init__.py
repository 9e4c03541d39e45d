"""Who asks: how facts about the caller are read from a request that something before us has authenticated."""
