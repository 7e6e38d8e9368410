"""The storage floor: tables, triggers, migrations, and the engine that reaches them."""
