"""Pure functions of the field, arrays in and arrays out."""
