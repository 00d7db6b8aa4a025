package services

import (
	"crypto/sha256"
	"maps"
	"slices"
	"unicode/utf8"
)

// launch is what Elasticsearch reads from its standard input when it starts, in
// the form of version 8.19: where it is, its settings, and its secrets. The end
// of that input ends the server.
func launch(settings map[string]string, password, config, logs string) []byte {
	var b wire
	b.raw(0, 0) // neither in the background nor quiet
	b.raw(0)    // no file for the process number
	b.text("org.elasticsearch.common.settings.KeyStoreWrapper")
	b.keystore(password)
	b.number(len(settings))
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		b.text(key)
		b.raw(0) // a text follows
		b.text(settings[key])
	}
	b.text(config)
	b.text(logs)
	return b
}

// keystore writes an opened keystore. Elasticsearch wants a seed in it; the
// password is that of the user elastic until another is set.
func (b *wire) keystore(password string) {
	secrets := map[string]string{"keystore.seed": "seed of a test server"}
	if password != "" {
		secrets["bootstrap.password"] = password
	}
	b.raw(0, 0, 0, 7) // the form of keystore files
	b.raw(0)          // it has no password itself
	b.raw(0)          // nor anything encrypted
	b.number(len(secrets))
	for _, key := range slices.Sorted(maps.Keys(secrets)) {
		sum := sha256.Sum256([]byte(secrets[key]))
		b.text(key)
		b.bytes([]byte(secrets[key]))
		b.bytes(sum[:])
	}
	b.raw(0) // it is not closed
}

// wire is Elasticsearch's own encoding.
type wire []byte

func (b *wire) raw(v ...byte) { *b = append(*b, v...) }

// number writes seven bits a byte, the lowest first.
func (b *wire) number(n int) {
	for ; n >= 0x80; n >>= 7 {
		b.raw(byte(n) | 0x80)
	}
	b.raw(byte(n))
}

// bytes writes a length and bytes.
func (b *wire) bytes(v []byte) {
	b.number(len(v))
	b.raw(v...)
}

// text writes how many characters there are, and the text. It is for those that
// are one unit of UTF-16 each.
func (b *wire) text(s string) {
	b.number(utf8.RuneCountInString(s))
	b.raw([]byte(s)...)
}
