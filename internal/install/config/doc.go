// Package config edits texts of JSON and TOML in place. Everything that it does not change stays as it is, byte for
// byte: a parser that prints what it read would sort keys and drop comments and formatting. It knows the formats and
// nothing of engines, and has no effects.
package config
