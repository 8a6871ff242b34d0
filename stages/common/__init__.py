"""What every stage shares: errors, atomic files, typed params, the record format."""
