package kafka

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
	"github.com/tocsin/tocsin/hub"
	"github.com/tocsin/tocsin/internal/secret"
)

// Security says how connections are protected and how the hub signs in.
type Security struct {
	// TLS encrypts connections and checks the brokers' certificates, against the
	// system's authorities or those of CAFile (PEM).
	TLS    bool
	CAFile string
	// CertFile and KeyFile are the hub's own certificate, for brokers that ask.
	CertFile, KeyFile string
	// SkipVerify accepts any certificate: for trying things out only.
	SkipVerify bool

	// SASL is none (or ""), plain, scram-sha-256 or scram-sha-512.
	SASL     string
	Username string
	Password secret.Secret
}

func (s *Security) tls() (*tls.Config, error) {
	if !s.TLS {
		if s.CAFile != "" || s.CertFile != "" {
			return nil, hub.E(hub.Invalid, "certificates are given for Kafka, but TLS is off; switch it on")
		}
		return nil, nil
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: s.SkipVerify} //nolint:gosec // off by default
	if s.CAFile != "" {
		text, err := os.ReadFile(s.CAFile)
		if err != nil {
			return nil, hub.Wrap(hub.Invalid, err, "the file of Kafka's certificate authority cannot be read")
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(text) {
			return nil, hub.E(hub.Invalid, "the file of Kafka's certificate authority holds no certificate in PEM")
		}
	}
	if s.CertFile != "" || s.KeyFile != "" {
		own, err := tls.LoadX509KeyPair(s.CertFile, s.KeyFile)
		if err != nil {
			return nil, hub.Wrap(hub.Invalid, err, "the hub's certificate for Kafka or its key cannot be read")
		}
		conf.Certificates = []tls.Certificate{own}
	}
	return conf, nil
}

func (s *Security) sasl() (sasl.Mechanism, error) {
	switch s.SASL {
	case "", "none":
		return nil, nil
	case "plain":
		return plain.Mechanism{Username: s.Username, Password: s.Password.Reveal()}, nil
	case "scram-sha-256":
		return s.scram(scram.SHA256)
	case "scram-sha-512":
		return s.scram(scram.SHA512)
	}
	return nil, hub.E(hub.Invalid, fmt.Sprintf("%q is no way to sign in to Kafka; choose none, plain, scram-sha-256 or scram-sha-512", s.SASL))
}

func (s *Security) scram(how scram.Algorithm) (sasl.Mechanism, error) {
	m, err := scram.Mechanism(how, s.Username, s.Password.Reveal())
	if err != nil {
		return nil, hub.Wrap(hub.Invalid, err, "the user name or password for Kafka has characters that SCRAM does not allow")
	}
	return m, nil
}
