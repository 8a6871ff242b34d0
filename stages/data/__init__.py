"""Where benchmark files come from: pinned upstream addresses, mirrors, and checks of what arrived."""
