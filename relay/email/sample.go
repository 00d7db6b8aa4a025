package email

import _ "embed" // the sample

//go:embed sample.yaml
var sample string

// Sample gives an entry of the config file, for documents.
func Sample() string { return sample }
