"""Where the world meets the core: each adapter turns a host's protocol into facts and performs decisions."""
